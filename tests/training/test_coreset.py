"""Coresets: which are chosen, how well they cover, and that no number of threads changes it."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_clip import IMAGE_SIZE, write_tiny_clip
from typer.testing import CliRunner

from pocketgan.cli import app
from pocketgan.errors import DataError, ModelError
from pocketgan.training import coreset as choice
from pocketgan.training.coreset import (
    Coverage,
    at_random,
    concept_vectors,
    coreset,
    coverage,
    near_centres,
    nearest_distinct,
)
from pocketgan.training.image_features import ClipFeatures, InceptionFeatures, features_of
from pocketgan.training.text.encoder import EncoderIdentity
from pocketgan.training.text.precomputed import write_features

LINE = np.array([[0], [1], [2], [100], [101], [103], [1000]], np.float32)


def clusters(count, each, seed=0):
    """(count * each, 4): groups of points around far apart places."""
    random = np.random.default_rng(seed)
    places = 100 * random.standard_normal((count, 1, 4))
    return (places + random.standard_normal((count, each, 4))).reshape(-1, 4).astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_those_nearest_to_the_centres_are_chosen(seed):
    # the groups' means are 1, 101.33 and 1000
    assert near_centres(LINE, 3, seed) == (1, 4, 6)


def test_coverage_is_the_distance_to_the_nearest_chosen_one():
    # distances 1 0 1 1 0 2 0; their 95th percentile lies 0.7 of the way from the sixth (1) to the seventh (2)
    found = coverage(LINE, (1, 4, 6))
    assert (found.mean, found.p95) == (pytest.approx(5 / 7), pytest.approx(1.7))


@pytest.mark.parametrize("k", [4, 9, 12])
def test_equal_pictures_still_give_k_distinct_ones(k):
    features = np.repeat(np.array([[0, 0], [5, 5]], np.float32), 6, axis=0)
    chosen = near_centres(features, k, 0)
    assert len(set(chosen)) == k
    assert coverage(features, chosen) == Coverage(0, 0)


def test_one_that_is_nearest_to_several_centres_is_taken_once():
    # 1.1 takes the 1, which is nearest to 1.4 too; that takes the 2, its next
    assert nearest_distinct(np.array([[1.4], [1.1], [60]], np.float32), LINE[:4]) == (1, 2, 3)


def test_the_choice_covers_better_than_chance():
    found = coreset(clusters(12, 30), 12)
    assert found.coverage.mean < 0.5 * found.by_chance.mean
    assert found.coverage.p95 < found.by_chance.p95


def test_a_seed_gives_one_choice_whatever_the_threads():
    from threadpoolctl import threadpool_limits

    features = np.random.default_rng(0).standard_normal((600, 64)).astype(np.float32)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append(coreset(features, 40, seed=3))
    assert found[0] == found[1]
    assert coreset(features, 40, seed=4).chosen != found[0].chosen


def test_all_of_them_cover_all():
    found = coreset(LINE, len(LINE))
    assert found.chosen == tuple(range(7))
    assert found.coverage == found.by_chance == Coverage(0, 0)


@pytest.mark.parametrize(
    ("k", "match"), [(8, r"7 images are fewer than k = 8; choose with --k 7 or less"), (0, "at least 1, not 0")]
)
def test_what_cannot_be_chosen_is_refused(k, match):
    with pytest.raises(DataError, match=match):
        coreset(LINE, k)


def test_chance_draws_evenly_and_without_repeats():
    drawn = [at_random(10, 4, seed) for seed in range(500)]
    assert all(len(set(one)) == 4 for one in drawn)
    counts = np.bincount(np.concatenate(drawn), minlength=10)
    # 200 each, with a deviation of 11
    assert counts.min() > 150
    assert counts.max() < 250


def test_concepts_are_chosen_by_what_their_tokens_say():
    """Three kinds of concepts, each of tokens around a direction of its own."""
    random = torch.Generator().manual_seed(0)
    kinds = torch.eye(512)[[0, 0, 0, 7, 7, 7, 9, 9, 9], None]
    features = 3 * kinds + 0.05 * torch.randn(9, 77, 512, generator=random)
    vectors = concept_vectors(features)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    assert [index // 3 for index in coreset(vectors, 3, what="texts").chosen] == [0, 1, 2]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return str(write_tiny_clip(tmp_path_factory.mktemp("clip")))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """20 pictures of soft colours, of two sizes."""
    folder, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for index in range(20):
        small = Image.fromarray(random.integers(0, 256, (4, 5, 3), np.uint8))
        small.resize((60, 48) if index % 2 else (41, 77), Image.Resampling.BICUBIC).save(folder / f"{index:02}.png")
    return folder


def test_clip_sees_pictures_as_its_own_processor_prepares_them(clip, photos):
    from transformers import CLIPModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    paths = sorted(photos.iterdir())[:3]
    processor = CLIPImageProcessorPil.from_pretrained(clip)
    prepared = processor([Image.open(path) for path in paths], return_tensors="pt")["pixel_values"]
    network = ClipFeatures(clip)
    found = np.stack([network.prepare(path) for path in paths])
    assert found.shape == (3, 3, IMAGE_SIZE, IMAGE_SIZE)
    np.testing.assert_allclose(found, prepared.numpy(), atol=1e-5)
    with torch.inference_mode():
        model = CLIPModel.from_pretrained(clip).eval()
        seen = model.visual_projection(model.vision_model(prepared).pooler_output)
    expected = torch.nn.functional.normalize(seen, dim=-1).numpy()
    np.testing.assert_allclose(network.see(found), expected, atol=1e-5)


class Tiny(torch.nn.Module):
    """Features of resized pictures, in the place of Inception's."""

    def __init__(self):
        super().__init__()
        self.net = torch.nn.Conv2d(3, 8, 7, stride=8)

    def forward(self, x):
        return self.net(x).relu().mean([2, 3])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = torch.jit.script(Tiny())
    path = tmp_path_factory.mktemp("tiny") / "tiny.pt"
    network.save(str(path))
    return path


@pytest.mark.parametrize("kind", ["clip", "inception"])
def test_features_are_the_same_bits_whatever_the_threads(kind, clip, tiny, photos):
    network = ClipFeatures(clip) if kind == "clip" else InceptionFeatures(str(tiny))
    pictures, before = sorted(photos.iterdir()), torch.get_num_threads()
    found = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(features_of(network, pictures))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert len(found[0]) == 20
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize(
    "settings",
    ["{", "[]", '{"size": {"longest_edge": 32}}', '{"image_std": [0, 1, 1]}', '{"crop_size": {"height": 64}}'],
)
def test_settings_that_are_not_clips_are_refused(settings, tmp_path):
    folder = write_tiny_clip(tmp_path / "clip")
    (folder / "preprocessor_config.json").write_text(settings)
    with pytest.raises(ModelError, match=r"preprocessor_config.json (is no preprocessing of CLIP's|does not say how)"):
        ClipFeatures(str(folder))


def run(*arguments):
    return CliRunner().invoke(app, ["coreset", *map(str, arguments)])


@pytest.mark.parametrize("kind", ["clip", "inception"])
def test_the_command_chooses_reports_and_copies(kind, clip, tiny, photos, tmp_path):
    network = ("--clip", clip) if kind == "clip" else ("--inception", tiny)
    out, copies = tmp_path / "core.json", tmp_path / "chosen"
    done = run(photos, "--k", 6, "--out", out, "--copy", copies, *network)
    assert done.exit_code == 0, done.output
    report = json.loads(out.read_text())
    assert (report["what"], report["of"], report["k"]) == ("images", 20, 6)
    assert report["features"]["name"].startswith(kind)
    assert sorted(path.name for path in copies.iterdir()) == report["chosen"]
    assert all((copies / name).read_bytes() == (photos / name).read_bytes() for name in report["chosen"])
    assert "6 of 20 images" in done.output
    assert f"{report['coverage']['chosen']['mean']:.4g} on average" in done.output


def test_the_command_chooses_among_texts(tmp_path):
    texts = [f"effect {index}" for index in range(6)]
    features = 3 * torch.eye(512)[[0, 0, 0, 7, 7, 7], None] + 0.1 * torch.rand(6, 77, 512)
    write_features(tmp_path / "texts.safetensors", texts, features, EncoderIdentity("mine", "ab"))
    done = run(tmp_path / "texts.safetensors", "--k", 2, "--out", tmp_path / "base.json")
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "base.json").read_text())
    assert report["features"] == {"name": "mine", "digest": "ab"}
    assert [texts.index(text) // 3 for text in report["chosen"]] == [0, 1]


def test_what_the_command_refuses_comes_before_the_work(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(choice, "coreset", lambda *_: pytest.fail("chosen"))
    for arguments, match in (
        ((photos,), "20 images are fewer than k = 400; choose with --k 20 or less"),
        ((photos, "--k", 3, "--copy", photos), "exists and is not an empty folder; choose another --copy"),
        ((tmp_path / "x.safetensors", "--copy", tmp_path / "new"), "--copy is for pictures"),
    ):
        done = run(*arguments, "--out", tmp_path / "core.json")
        assert match in str(done.exception)
    assert len(list(photos.iterdir())) == 20
