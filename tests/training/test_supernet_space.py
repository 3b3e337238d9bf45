"""UGC's search space: what a configuration is, and the plain spec that it stands for.

The rate goal is a benchmark (make bench):

    .venv/bin/python -m pytest -m heavy -s tests/training/test_supernet_space.py
"""

import time
from dataclasses import replace

import numpy as np
import pytest

from pocketgan.errors import ModelError
from pocketgan.training.cost import cost, cost_function
from pocketgan.training.generators import check, spec_by_name
from pocketgan.training.supernet_space import Configuration, Space, space_around

UNET = spec_by_name("unet256")
RESNET = spec_by_name("resnet9", norm="batch")


def rng(seed=0):
    return np.random.default_rng(seed)


def test_the_papers_space_is_the_default():
    space = Space(UNET)
    assert space.widths == (8, 16, 24, 32, 40, 48, 56, 64)
    assert space.depths == (0, 1, 2)
    assert space.inserted == 3


def test_widths_are_scaled_by_layer():
    space = Space(UNET)
    narrow = space.spec(space.smallest)
    # an eighth of 64, 128, 256 and 512 channels, and no block
    assert [narrow.widths[name] for name in ("down1", "down2", "down3", "down4", "down8", "up1")] == [
        8,
        16,
        32,
        64,
        64,
        8,
    ]
    assert narrow == spec_by_name("unet256", ngf=8)


def test_the_largest_has_every_channel_and_every_block_that_is_inserted():
    space = Space(UNET, expansion=2)
    whole = space.spec(space.largest)
    assert {name: whole.widths[name] for name in UNET.widths} == UNET.widths
    assert [whole.widths[f"down2.extra{number}"] for number in (1, 2, 3)] == [256, 256, 256]
    assert "down2.extra4" not in whole.widths
    assert "down8.extra1" not in whole.widths
    check(whole)


def test_the_deepest_that_is_searched_may_have_fewer_blocks_than_are_inserted():
    space = Space(RESNET)
    depths = {depth for _ in range(50) for depth in space.random(rng(_)).depths.values()}
    assert depths == {0, 1, 2}


def test_the_cost_of_a_configuration_is_that_of_its_layers():
    space = Space(RESNET, expansion=2)
    only = Configuration(space.digest, dict(space.smallest.widths), {**space.smallest.depths, "down1": 1})
    more = cost(space.spec(only)).macs - cost(space.spec(space.smallest)).macs
    # two 3x3 convolutions between 16 and 32 channels on 128x128 pixels
    assert more == 2 * 9 * 16 * 32 * 128 * 128


def test_random_ones_are_in_the_space_and_those_of_the_seed():
    space = Space(UNET)
    ones = [space.random(rng(3)) for _ in range(2)]
    assert ones[0] == ones[1]
    check(space.spec(ones[0]))
    assert {share for seed in range(20) for share in space.random(rng(seed)).widths.values()} == {*space.widths}


def test_mutation_draws_a_share_of_the_genes_anew():
    space = Space(UNET)
    changed = [
        sum(space.mutated(space.largest, rng(seed), 0.2).widths[name] != 64 for name in UNET.widths)
        for seed in range(40)
    ]
    # a fifth is drawn anew, an eighth of those as it was
    assert np.mean(changed) / len(UNET.widths) == pytest.approx(0.2 * 7 / 8, abs=0.04)
    assert space.mutated(space.largest, rng(), 0) == space.largest


def test_a_child_has_every_gene_from_a_parent():
    space = Space(UNET)
    child = space.crossed(space.largest, space.smallest, rng(1))
    assert {*child.widths.values()} == {8, 64}
    assert {*child.depths.values()} == {0, 3}
    assert space.crossed(space.largest, space.largest, rng(2)) == space.largest


def test_configurations_and_spaces_go_through_json():
    space = Space(UNET, widths=(16, 32, 64), depths=(0, 1), inserted=1, expansion=2)
    one = space.random(rng())
    assert Configuration.from_json(one.to_json()) == one
    assert Configuration.from_json(one.to_json()).digest == one.digest
    again = Space.from_json(space.to_json())
    assert again == space
    assert again.digest == space.digest
    assert one.digest != space.largest.digest


@pytest.mark.parametrize("value", [[], {}, {"space": "", "widths": {"a": 1.5}, "depths": {}}, {"space": 1}])
def test_what_is_no_configuration_is_refused(value):
    with pytest.raises(ModelError, match="not a configuration of a supernet"):
        Configuration.from_json(value)


def test_a_spec_of_the_space_is_known_at_any_size():
    space = Space(RESNET, depths=(1, 2))
    one = space.random(rng(5))
    assert space.configuration(space.spec(one).at(64, 128)) == one
    shallow = replace(one, depths=dict.fromkeys(one.depths, 0))
    loose = Space(RESNET)
    shallow = replace(shallow, space=loose.digest)
    again = loose.configuration(loose.spec(shallow))
    assert loose.spec(again) == loose.spec(shallow)
    assert {again.widths[f"{place}.extras"] for place in space.places} == {8}


def test_narrow_layers_may_have_blocks_that_are_wide_inside():
    space = Space(UNET)
    one = replace(
        space.smallest,
        widths={**space.smallest.widths, "down1": 16, "down1.extras": 64},
        depths={**space.smallest.depths, "down1": 2},
    )
    # OMGD's deeper teacher: 16 channels, and four times as many inside its blocks
    widths = space.spec(one).widths
    assert (widths["down1"], widths["down1.extra1"], widths["down1.extra2"]) == (16, 64, 64)


@pytest.mark.parametrize(
    "spec",
    [
        spec_by_name("resnet9", norm="batch", ngf=32).with_widths({"stem": 7}),
        spec_by_name("resnet6", norm="batch"),
        spec_by_name("unet256"),
        spec_by_name("resnet9", norm="instance"),
    ],
)
def test_a_spec_of_another_supernet_is_refused_in_one_line(spec):
    space = Space(RESNET)
    with pytest.raises(ModelError, match=r"^the spec \w{12} is of another supernet, not of the resnet supernet .*$"):
        space.configuration(spec)


def test_a_configuration_of_another_supernet_is_refused_in_one_line():
    one = Space(RESNET, expansion=2).largest
    with pytest.raises(ModelError, match=r"^the configuration \w{12} is of another supernet \(\w{12}\), not of .*$"):
        Space(RESNET).spec(one)
    space = Space(RESNET)
    with pytest.raises(ModelError, match=r"its widths are 8, 16, .* and its depths 0, 1, 2, 3"):
        space.spec(replace(space.largest, widths={**space.largest.widths, "stem": 9}))


def test_the_space_is_found_again_around_its_largest_network():
    space = Space(RESNET, depths=(0, 1), inserted=2, expansion=1)
    assert space_around(space.whole, space.widths, space.depths, expansion=1) == space
    with pytest.raises(ModelError, match="is of another supernet"):
        space_around(space.whole, space.widths, space.depths, expansion=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base": spec_by_name("incres9")}, "there is no supernet of incres: UGC's extra blocks stand in resnet, unet"),
        ({"widths": (16, 8)}, "widths of a supernet rise"),
        ({"depths": (0, 4)}, "4 extra blocks cannot be searched where 3 are inserted"),
        ({"depths": ()}, "depths of a supernet rise"),
        ({"expansion": 0}, "at least as wide inside"),
        ({"base": spec_by_name("unet256", ngf=12)}, "12 channels of down1 cannot be divided .* such as 8"),
    ],
)
def test_numbers_that_make_no_space_are_refused(options, message):
    with pytest.raises(ModelError, match=message):
        Space(**{"base": RESNET, **options})


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["unet256", "resnet9", "pix2pixhd", "gaugan"])
def test_at_least_a_hundred_candidates_a_second_are_costed(name):
    space, by = Space(spec_by_name(name)), cost_function("macs_by_output")
    random, started = rng(), time.process_time()
    for _ in range(200):
        by(space.spec(space.mutated(space.random(random), random, 0.2)))
    rate = 200 / (time.process_time() - started)
    print(f"{name}: {rate:.0f} candidates a second")
    assert rate >= 100
