"""UGC's stage 2: who learns in which step and from what, and what the filter lets through."""

import pytest
import torch
from safetensors.torch import save_file
from tiny_vgg import Vgg

from pocketgan.errors import ModelError
from pocketgan.recipe.sections import DistillStage, TeacherStage
from pocketgan.training.discriminators import MultiHeadDiscriminator, MultiScaleDiscriminator, PatchDiscriminator
from pocketgan.training.generators import build, spec_by_name
from pocketgan.training.online_distillation import OnlineDistillation
from pocketgan.training.programs import Part
from pocketgan.training.programs.gaugan import GauGan
from pocketgan.training.programs.method import Setting
from pocketgan.training.programs.pix2pix import METHOD as PIX2PIX
from pocketgan.training.programs.pix2pix import Pix2Pix
from pocketgan.training.programs.ugc_distill import METHOD, Head, UgcDistill

SPEC = spec_by_name("resnet6", ngf=2, norm="batch", height=32, width=32)


def program(seed=0, **options):
    shared = MultiHeadDiscriminator(PatchDiscriminator(6, 4, layers=2, seed=seed))
    teachers = {
        name: Pix2Pix(build(SPEC, seed + number + 1), Head(shared, number))
        for number, name in enumerate(("wide", "deep"))
    }
    return UgcDistill(build(SPEC, seed), teachers, shared, OnlineDistillation(Vgg()), **options)


def batch(labelled=2, unlabelled=3, channels=3):
    random = torch.Generator().manual_seed(1)

    def images(count, channels=3):
        return torch.rand(count, channels, 32, 32, generator=random) * 2 - 1

    pairs = {"input": images(labelled, channels), "target": images(labelled)}
    return {**pairs, **({"unlabelled": images(unlabelled, channels)} if unlabelled else {})}


def test_the_student_learns_in_every_step_and_the_teachers_in_the_last_of_n():
    step = program(every=3)
    names = [[name for name, _ in step.losses(batch())] for _ in range(6)]
    with_teachers = ["discriminator", "teachers", "teachers", "generator"]
    assert names == [["generator"], ["generator"], with_teachers] * 2


def test_teachers_learn_by_their_familys_losses_and_the_student_without_a_discriminator():
    phases = list(program(every=1).losses(batch()))
    assert [[*terms] for _, terms in phases] == [
        ["wide_discriminator", "deep_discriminator"],
        ["wide_adversarial", "wide_l1"],
        ["deep_adversarial", "deep_l1"],
        ["ssim", "style", "content", "tv"],
    ]
    assert [isinstance(phase, Part) for phase in phases] == [False, True, False, False]


def test_each_head_judges_its_own_teacher_and_the_trunk_both():
    step = program(every=1)
    phases = dict([(name, terms) for name, terms in step.losses(batch())][:1])
    wide = phases["discriminator"]["wide_discriminator"]
    gradients = torch.autograd.grad(wide, [*step.discriminator.parameters()], allow_unused=True)
    reached = [
        name for (name, _), g in zip(step.discriminator.named_parameters(), gradients, strict=True) if g is not None
    ]
    assert any(name.startswith("trunks") for name in reached)
    assert any(name.startswith("heads.0") for name in reached)
    assert not any(name.startswith("heads.1") for name in reached)


def test_the_students_loss_is_l_od_to_both_teachers_over_all_images():
    step, images = program(probability=1.0), batch()
    ((_, terms),) = step.losses(images)
    everything = torch.cat([images["input"], images["unlabelled"]])
    with torch.no_grad():
        pictures = [step.distance.teacher(task.generator(everything)) for task in step.teachers.values()]
    wanted = step.distance(step.student(everything), *pictures)
    for name, value in wanted.items():
        assert terms[name].item() == pytest.approx(value.item(), rel=1e-4)


def test_an_image_that_the_filter_leaves_out_of_one_teacher_learns_from_the_other_alone():
    """Expected: each teacher's L_OD of every image that learns from it, over the batch's four; TV is their sum."""
    step, images = program(), batch(labelled=1, unlabelled=3)
    used = {"wide": [True, True, False], "deep": [False, True, False]}
    for name, decisions in used.items():
        step.filters[name] = lambda scores, found=decisions: torch.tensor(found)
    ((_, terms),) = step.losses(images)
    everything = torch.cat([images["input"], images["unlabelled"]])
    with torch.no_grad():
        fake = step.student(everything)
        pictures = {name: task.generator(everything) for name, task in step.teachers.items()}
        wanted = dict.fromkeys(("ssim", "style", "content", "tv"), 0.0)
        for name, decisions in used.items():
            for row in [0, *(1 + i for i, found in enumerate(decisions) if found)]:
                one = step.distance(fake[row : row + 1], step.distance.teacher(pictures[name][row : row + 1]))
                for term in wanted:
                    wanted[term] += one[term].item() / (1 if term == "tv" else 4)
    for term, value in wanted.items():
        assert terms[term].item() == pytest.approx(value, rel=1e-4)


def test_vgg_sees_every_picture_once_whatever_the_filter_says():
    step = program(probability=0.0)
    torch.manual_seed(0)
    list(step.losses(batch(labelled=2, unlabelled=6)))
    list(step.losses(batch(labelled=2, unlabelled=6)))
    of_teachers = [8, 8]
    first = [len(images) for images in step.distance.vgg.seen]
    assert first[:2] == of_teachers
    assert sum(first) <= 2 * 3 * 8
    assert len(first) > 4


def test_a_teachers_pictures_are_scored_by_its_own_head():
    step, images, scores = program(), batch(), {}
    for name in step.filters:
        step.filters[name] = lambda found, name=name: scores.setdefault(name, found) > -9
    everything = torch.cat([images["input"], images["unlabelled"]])
    with torch.no_grad():
        for head in step.discriminator.heads:
            for parameter in head.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
        pictures = {name: task.generator(everything)[2:] for name, task in step.teachers.items()}
        list(step.losses(images))
        for number, (name, made) in enumerate(pictures.items()):
            patches = step.discriminator(torch.cat([images["unlabelled"], made], 1), number)
            assert torch.allclose(scores[name], patches.mean((1, 2, 3)), atol=1e-5)
    assert not torch.allclose(scores["wide"], scores["deep"], atol=1e-2)


def test_labelled_images_pass_no_filter():
    step = program(probability=0.0, every=9)
    for _ in range(3):
        ((_, terms),) = step.losses(batch(unlabelled=0))
        assert terms["style"].item() > 0
    assert all(int(one.count) == 0 for one in step.filters.values())
    list(step.losses(batch(unlabelled=2)))
    assert all(int(one.count) == 1 for one in step.filters.values())


def test_a_family_with_a_discriminator_of_several_scales_trains_alike():
    spec = spec_by_name("gaugan", ngf=2, height=64, width=64, input_channels=5)
    shared = MultiHeadDiscriminator(MultiScaleDiscriminator(8, 4, 2))
    teachers = {
        name: GauGan(build(spec, number + 1), Head(shared, number), None, lambda_vgg=0)
        for number, name in enumerate(("wide", "deep"))
    }
    step = UgcDistill(build(spec, 0), teachers, shared, OnlineDistillation(None, style=0, content=0), every=1)
    images = {name: torch.nn.functional.interpolate(value, 64) for name, value in batch(channels=5).items()}
    assert [[*terms] for _, terms in step.losses(images)] == [
        ["wide_discriminator", "deep_discriminator"],
        ["wide_adversarial", "wide_feature"],
        ["deep_adversarial", "deep_feature"],
        ["ssim", "tv"],
    ]


def setting(**teacher):
    stage = TeacherStage(generator="resnet6", ndf=4, steps=1, **teacher)
    return Setting(stage, 3, (32, 32), 0, "paired", lambda seed: build(SPEC, seed), lambda: SPEC)


def stage(**more):
    return DistillStage(program="ugc", steps=1, lambda_style=0, lambda_content=0, **more)


def test_both_heads_begin_as_the_discriminator_of_stage_1_ended(tmp_path):
    trained = PIX2PIX.discriminator(setting(), seed=5)
    save_file(trained.state_dict(), tmp_path / "d.safetensors")
    networks = {name: build(SPEC, 1) for name in ("wide", "deep")}
    task = METHOD.task(setting(), PIX2PIX, stage(), build(SPEC), None, tmp_path / "d.safetensors", networks)
    images, both = torch.rand(2, 6, 32, 32), task.program.networks()["discriminator"]
    for head in (0, 1):
        assert torch.equal(both(images, head), trained(images))


def test_every_teacher_learns_from_a_head_of_its_own_as_the_section_says(tmp_path):
    told = stage(
        teachers_every=3, filter_momentum=0.8, filter_probability=0.25, learning_rate=1e-3, lambda_ssim=7,
        discriminator_learning_rate=4e-3, lambda_tv=0,
    )  # fmt: skip
    networks = {name: build(SPEC, 1) for name in ("wide", "deep")}
    one = METHOD.task(setting(), PIX2PIX, told, build(SPEC), None, tmp_path / "none", networks).program
    assert isinstance(one, UgcDistill)
    assert [task.generator for task in one.teachers.values()] == [*networks.values()]
    images, heads = torch.rand(2, 6, 32, 32), [task.discriminator for task in one.teachers.values()]
    before = [head(images) for head in heads]
    with torch.no_grad():
        one.discriminator.heads[1][0][-1][0].weight.add_(1)
    assert [torch.equal(head(images), scores) for head, scores in zip(heads, before, strict=True)] == [True, False]
    rates = {name: (found.networks, found.learning_rate) for name, found in one.optimisers().items()}
    assert rates == {
        "discriminator": (("discriminator",), 4e-3), "teachers": (("wide", "deep"), 1e-3),
        "generator": (("generator",), 1e-3),
    }  # fmt: skip
    assert {(found.momentum, found.probability) for found in one.filters.values()} == {(0.8, 0.25)}
    assert (one.every, one.distance.ssim, one.distance.tv) == (3, 7, 0)


def test_where_nothing_evolved_the_recipes_teacher_teaches_alone(tmp_path):
    teacher = build(SPEC, 1)
    task = METHOD.task(setting(), PIX2PIX, stage(teachers_every=1), build(SPEC), teacher, tmp_path / "none")
    assert [[*terms] for _, terms in task.program.losses(batch())] == [
        ["teacher_discriminator"], ["teacher_adversarial", "teacher_l1"], ["ssim", "tv"],
    ]  # fmt: skip
    with pytest.raises(ModelError, match="there is none"):
        METHOD.task(setting(), PIX2PIX, stage(), build(SPEC), None, tmp_path / "none")


def test_more_layers_than_the_discriminator_has_are_refused_before_anything_is_trained():
    with pytest.raises(ModelError, match=r"distill\.shared: 9 of 5 layers cannot be shared: 1 to 4 can"):
        METHOD.check(setting(), PIX2PIX, stage(shared=9))
    METHOD.check(setting(), PIX2PIX, stage(shared=4))
