"""Programs do what their papers say, and every one of them goes on after a kill as if nothing had happened."""

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from pocketgan.training.data.labels import LabelFormat
from pocketgan.training.discriminators import MultiScaleDiscriminator, PatchDiscriminator
from pocketgan.training.fit import FitOptions, fit
from pocketgan.training.generators import build, spec_by_name
from pocketgan.training.programs import Optimiser
from pocketgan.training.programs.cyclegan import CycleGan, ImagePool, Unaligned
from pocketgan.training.programs.distill import Distill, feature_shapes
from pocketgan.training.programs.gaugan import GauGan
from pocketgan.training.programs.pix2pix import Pix2Pix
from pocketgan.training.programs.pix2pixhd import Pix2PixHd
from pocketgan.training.similarity import FeatureDistance

SPEC = spec_by_name("resnet6", ngf=4, norm="batch", height=32, width=32)
SMALL = SPEC.with_widths({name: max(2, width // 2) for name, width in SPEC.widths.items()})
FORM = LabelFormat(4)
SPADE = spec_by_name("gaugan", ngf=2, norm="batch", height=64, width=64, input_channels=FORM.channels)
GLOBAL = spec_by_name("pix2pixhd", ngf=2, norm="instance-affine", height=64, width=64, input_channels=FORM.channels)
SMALL_SPADE = SPADE.with_widths({name: max(2, width // 2) for name, width in SPADE.widths.items()})


class Noise:
    """Images of one mean each; input and target unrelated."""

    paired = False

    def __len__(self):
        return 5

    def sample(self, index, random):
        def image(mean):
            return (mean + 0.1 * torch.from_numpy(random.standard_normal((3, 32, 32))).float()).clamp(-1, 1)

        return {"input": image((index - 2) / 3), "target": image((2 - index) / 3)}


class Maps:
    """Label maps in stripes, and photos of one grey value a class."""

    def __len__(self):
        return 5

    def sample(self, index, random):
        labels = np.repeat(random.integers(0, 5, (8, 8), np.uint8), 8, 0).repeat(8, 1)
        photo = torch.from_numpy(labels.astype(np.float32) / 2 - 1)[None].expand(3, -1, -1)
        return {"input": torch.from_numpy(FORM.encode(labels, None)), "target": photo.clone()}


class Features(nn.Module):
    """Stands in for VGG."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(7)
        self.convs = nn.ModuleList(nn.Conv2d(3 if i == 0 else 4, 4, 3, stride=2, padding=1) for i in range(5))
        self.requires_grad_(False)

    def forward(self, x):
        found = []
        for conv in self.convs:
            x = torch.relu(conv(x))
            found.append(x)
        return found


def patch(channels, seed, norm="batch"):
    return PatchDiscriminator(channels, 4, layers=2, norm=norm, seed=seed)


def cyclegan(seed, pool_size=3):
    spec = spec_by_name("resnet6", ngf=4, norm="instance-affine", height=32, width=32)
    judges = patch(3, seed, "instance"), patch(3, seed + 1, "instance")
    return CycleGan(build(spec, seed), build(spec, seed + 1), *judges, shape=(3, 32, 32), pool_size=pool_size)


def gaugan(seed):
    judge = MultiScaleDiscriminator(FORM.channels + 3, 4, layers=3, seed=seed)
    return GauGan(build(SPADE, seed), judge, Features())


def pix2pixhd(seed, generator=None):
    judge = MultiScaleDiscriminator(FORM.channels + 3, 4, scales=3, seed=seed, spectral=False)
    return Pix2PixHd(generator or build(GLOBAL, seed), judge, Features())


def pix2pixhd_student(seed):
    narrow = GLOBAL.with_widths({name: max(2, width // 2) for name, width in GLOBAL.widths.items()})
    return Distill(pix2pixhd(seed, build(narrow, seed)), build(GLOBAL, 5), FeatureDistance("gka"))


def aligned(seed, similarity="gka"):
    task = Pix2Pix(build(SMALL, seed), patch(6, seed))
    teacher = build(SPEC, 5)
    shapes = [feature_shapes(network, 3, 32, 32) for network in (task.generator, teacher)]
    student, of_teacher = ([channels for channels, *_ in rows] for rows in shapes)
    return Distill(task, teacher, FeatureDistance(similarity, student, of_teacher, seed=seed))


def unaligned(seed):
    return Distill(
        Unaligned(build(SMALL, seed), patch(3, seed)), build(SPEC, 5), FeatureDistance("gka"), lambda_distill=1.0
    )


def spade_student(seed):
    task = GauGan(
        build(SMALL_SPADE, seed), MultiScaleDiscriminator(FORM.channels + 3, 4, layers=3, seed=seed), Features()
    )
    return Distill(task, build(SPADE, 5), FeatureDistance("gka"), lambda_distill=0.5)


PROGRAMS = {
    "cyclegan": (cyclegan, Noise()),
    "gaugan": (gaugan, Maps()),
    "aligned": (aligned, Noise()),
    "aligned-mse": (lambda seed: aligned(seed, "mse"), Noise()),
    "unaligned": (unaligned, Noise()),
    "spade": (spade_student, Maps()),
    "pix2pixhd": (pix2pixhd, Maps()),
    "pix2pixhd-student": (pix2pixhd_student, Maps()),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_resumes_bit_for_bit(assert_resumes_bit_for_bit, name):
    make, data = PROGRAMS[name]
    end = assert_resumes_bit_for_bit(make, data)
    start = make(0)
    moved = {key.split(".")[0] for key, value in end.items() if not torch.equal(value, _state_of(start)[key])}
    assert {"generator", "discriminator"} <= moved
    assert not {"teacher", "vgg"} & moved
    assert ("distance" in moved) == (name == "aligned-mse")


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_minimised_is_float32_under_autocast(name):
    make, data = PROGRAMS[name]
    program, batch = make(0), batch_of(data, 0, 1)
    with torch.autocast("cpu", torch.bfloat16):
        assert program.output(batch["input"]).dtype == torch.bfloat16
        terms = [term for _, terms in program.losses(batch) for term in terms.values()]
    assert {term.dtype for term in terms} == {torch.float32}


def _state_of(program):
    modules = {**program.networks(), **program.memories()}
    return {f"{n}.{key}": value for n, module in modules.items() for key, value in module.state_dict().items()}


def batch_of(data, *indices):
    samples = [data.sample(index, np.random.default_rng(index)) for index in indices]
    return {name: torch.stack([sample[name] for sample in samples]).float() for name in samples[0]}


def terms_of(program, batch):
    return dict(program.losses(batch))


def test_without_a_discriminator_there_is_the_distance_alone():
    program = Pix2Pix(build(SMALL, 0), patch(6, 0), lambda_l1=10.0, lambda_gan=0)
    batch = batch_of(Noise(), 0, 1)
    phases = list(program.losses(batch))
    assert [name for name, _ in phases] == ["generator"]
    distance = (program.generator(batch["input"]) - batch["target"]).abs().mean()
    assert phases[0][1].keys() == {"l1"}
    assert torch.isclose(phases[0][1]["l1"], 10 * distance)
    assert {*program.networks()} == {*program.optimisers()} == {"generator"}
    student = Distill(program, build(SPEC, 5), FeatureDistance("gka"))
    assert [name for name, _ in student.losses(batch)] == ["generator"]


def test_the_pool_fills_and_then_shows_old_images_half_of_the_time():
    pool = ImagePool((1, 1, 1), 4)
    torch.manual_seed(0)
    shown = [int(pool(torch.full((1, 1, 1, 1), float(i)))) for i in range(400)]
    assert shown[:4] == [0, 1, 2, 3]
    fresh = [i == value for i, value in enumerate(shown)][4:]
    assert 0.4 < sum(fresh) / len(fresh) < 0.6
    assert all(value <= i for i, value in enumerate(shown))
    # an image that left the pool never comes back
    old = [value for i, value in enumerate(shown) if i >= 4 and value != i]
    assert len(set(old)) == len(old)


def test_a_pool_of_none_shows_what_it_gets():
    images = torch.randn(3, 3, 4, 4)
    assert torch.equal(ImagePool((3, 4, 4), 0)(images), images)


def test_cyclegan_weighs_its_terms_as_the_paper():
    program, batch = cyclegan(0), batch_of(Noise(), 0)
    for network in program.networks().values():
        network.eval()
    terms = terms_of(program, batch)["generator"]
    assert list(terms) == ["adversarial", "adversarial_back", "cycle", "cycle_back", "identity", "identity_back"]
    there = program.generator(batch["input"])
    cycle = (program.generator_back(there) - batch["input"]).abs().mean()
    assert terms["cycle"].item() == pytest.approx(10 * cycle.item(), rel=1e-4)
    same = (program.generator(batch["target"]) - batch["target"]).abs().mean()
    assert terms["identity"].item() == pytest.approx(5 * same.item(), rel=1e-4)
    program.lambda_identity = 0.0
    assert list(terms_of(program, batch)["generator"]) == ["adversarial", "adversarial_back", "cycle", "cycle_back"]


def test_cyclegan_trains_both_generators_and_both_discriminators():
    optimisers = cyclegan(0).optimisers()
    assert optimisers["generator"].networks == ("generator", "generator_back")
    assert optimisers["discriminator"].networks == ("discriminator", "discriminator_back")


def test_gaugan_steps_at_two_time_scales():
    optimisers = gaugan(0).optimisers()
    assert (optimisers["generator"].learning_rate, optimisers["discriminator"].learning_rate) == (1e-4, 4e-4)
    assert optimisers["generator"].betas == optimisers["discriminator"].betas == (0.0, 0.9)


def test_gaugan_learns_grey_values_from_labels(tmp_path):
    program = gaugan(0)
    program.optimiser = Optimiser((), 1e-3, (0.0, 0.9))
    batch = batch_of(Maps(), 0, 1)
    before = terms_of(program, batch)["generator"]
    assert set(before) == {"adversarial", "feature", "vgg"}
    distance = (program.generator(batch["input"]) - batch["target"]).abs().mean().item()
    fit(
        program,
        Maps(),
        FitOptions(40, 2, 0, sample_every=100),
        tmp_path,
        label="gaugan",
        accelerator=Accelerator(cpu=True),
    )
    assert (program.generator.train()(batch["input"]) - batch["target"]).abs().mean().item() < 0.8 * distance


def test_gaugan_without_vgg_needs_no_weights():
    program = GauGan(build(SPADE, 0), MultiScaleDiscriminator(FORM.channels + 3, 4, layers=3), None)
    assert set(terms_of(program, batch_of(Maps(), 0, 1))["generator"]) == {"adversarial", "feature"}


def test_pix2pixhd_sums_its_verdicts_over_three_scales_and_averages_feature_matching():
    program, batch = pix2pixhd(0), batch_of(Maps(), 0, 1)
    fake = program.generator(batch["input"])
    real, made = (program.discriminator(torch.cat([batch["input"], image], 1)) for image in (batch["target"], fake))
    phases = list(program.losses(batch))
    assert [name for name, _ in phases] == ["discriminator", "generator"]
    terms = phases[1][1]
    assert list(terms) == ["adversarial", "feature", "vgg"]

    def mean_square(x):
        return (x.double() ** 2).mean().item()

    def distance(x, y):
        return (x.double() - y.double()).abs().mean().item()

    judged = sum(mean_square(r[-1] - 1) + mean_square(f[-1]) for r, f in zip(real, made, strict=True)) / 2
    assert phases[0][1]["discriminator"].item() == pytest.approx(judged, rel=1e-5)
    assert terms["adversarial"].item() == pytest.approx(sum(mean_square(f[-1] - 1) for f in made), rel=1e-5)
    matched = sum(distance(r[j], f[j]) for r, f in zip(real, made, strict=True) for j in range(4)) / 3
    assert terms["feature"].item() == pytest.approx(10 * matched, rel=1e-5)
    seen = zip(program.vgg(fake), program.vgg(batch["target"]), (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1), strict=True)
    assert terms["vgg"].item() == pytest.approx(10 * sum(w * distance(x, y) for x, y, w in seen), rel=1e-5)


def test_pix2pixhd_without_vgg_needs_no_weights():
    program = Pix2PixHd(build(GLOBAL, 0), pix2pixhd(0).discriminator, None)
    assert "vgg" not in program.networks()
    assert set(terms_of(program, batch_of(Maps(), 0))["generator"]) == {"adversarial", "feature"}


@pytest.mark.parametrize(
    ("name", "terms"),
    [
        ("aligned", {"adversarial", "l1", "distill"}),
        ("unaligned", {"adversarial", "recon", "distill"}),
        ("spade", {"adversarial", "feature", "vgg", "distill"}),
        ("pix2pixhd-student", {"adversarial", "feature", "vgg", "distill"}),
    ],
)
def test_students_learn_their_task_and_their_teachers_features(name, terms):
    make, data = PROGRAMS[name]
    program = make(0)
    found = terms_of(program, batch_of(data, 0, 1))["generator"]
    assert set(found) == terms
    assert 0 < found["distill"].item() <= 4 * program.lambda_distill  # at most four taps
    (gradient,) = torch.autograd.grad(found["distill"], [next(program.task.generator.parameters())])
    assert gradient.abs().sum() > 0


def test_unaligned_students_imitate_the_teachers_picture():
    program, batch = unaligned(0), batch_of(Noise(), 1)
    for network in program.networks().values():
        network.eval()
    wanted = (program.task.generator(batch["input"]) - program.teacher(batch["input"])).abs().mean()
    assert terms_of(program, batch)["generator"]["recon"].item() == pytest.approx(5 * wanted.item(), rel=1e-4)


def test_every_generator_of_a_task_gives_features_to_distil():
    for name in ("incres9", "resnet9", "mobile-resnet9"):
        spec = spec_by_name(name, ngf=4, height=32, width=32)
        assert len(feature_shapes(build(spec), 3, 32, 32)) == 4
    assert len(feature_shapes(build(SPADE), FORM.channels, 64, 64)) == 4
