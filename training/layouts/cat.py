"""CAT's generators: IncRes in three sequences, inception SPADE in SPADE's stages, both with six branches or fewer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pocketgan.errors import ModelError
from pocketgan.training.generators.branches import KERNELS, branch_widths
from pocketgan.training.generators.spec import GeneratorSpec
from pocketgan.training.layouts.reading import Names, Reading, Tensors
from pocketgan.training.layouts.spade import STAGE_NAMES


@dataclass(frozen=True)
class _BranchPlaces:
    """Where the layers of CAT's two kinds of branches stand inside a branch, by our paths.

    `sized` is the layer whose kernel tells which of the branches it is.
    """

    folder: str
    sized: str
    places: Names


_INCRES_BRANCHES = {
    "plain": _BranchPlaces("res_ops", "first.conv", {"first.conv": "1.0", "first.norm": "1.1", "last": "4"}),
    "depthwise": _BranchPlaces(
        "dw_ops",
        "depthwise.conv",
        {
            "first.conv": "0.0", "first.norm": "0.1", "depthwise.conv": "2.0", "depthwise.norm": "2.1", "last": "4",
        },
    ),
}  # fmt: skip
_SPADE_BRANCHES = {
    "plain": _BranchPlaces("res_ops", "first.conv", {"first.conv": "0.conv", "first.norm": "0.norm", "last": "1"}),
    "depthwise": _BranchPlaces(
        "dw_ops",
        "depthwise.conv",
        {
            "first.conv": "0.conv", "first.norm": "0.norm",
            "depthwise.conv": "1.conv", "depthwise.norm": "1.norm", "last": "2",
        },
    ),
}  # fmt: skip
# In a block the last convolution is wrapped as well.
_STAGE_BRANCHES = {
    kind: replace(places, places={**places.places, "last": f"{places.places['last']}.conv"})
    for kind, places in _SPADE_BRANCHES.items()
}


def _branches(source: str, ours: str, kinds: Mapping[str, _BranchPlaces], tensors: Tensors) -> dict[str, Names]:
    """By name of the branches that the file has at `source`, the names of their layers.

    A branch that was pruned away is not there, and those behind it move up: the kernels tell which are left.
    """
    found: dict[str, Names] = {}
    for kind, branch in kinds.items():
        sized = re.escape(branch.places[branch.sized])
        pattern = re.compile(rf"({re.escape(source)}\.{branch.folder}\.\d+)\.{sized}\.weight")
        for name, tensor in tensors.items():
            match = pattern.fullmatch(name)
            if match is None:
                continue
            kernel = tensor.shape[-1] if tensor.dim() == 4 else 0
            if kernel not in KERNELS:
                raise ModelError(
                    f"{name} has the shape {'x'.join(map(str, tensor.shape))}; branches here have kernels of "
                    f"{', '.join(map(str, KERNELS))}: give such a network as a function of your own"
                )
            branch_name = f"{kind}{kernel}"
            found[branch_name] = {
                f"{ours}.{branch_name}.{part}": f"{match[1]}.{place}" for part, place in branch.places.items()
            }
    return found


def _present(width: str, found: Iterable[str]) -> dict[str, int]:
    """1 for the branches that are there (their widths come from the shapes), 0 for those that are gone."""
    alive = {f"{width}.{branch}" for branch in found}
    return {name: int(name in alive) for name in branch_widths(width)}


def _joined(found: Mapping[str, Names]) -> Names:
    return {path: name for names in found.values() for path, name in names.items()}


def incres(spec: GeneratorSpec, tensors: Tensors) -> Reading:
    """CAT's three sequences: down_sampling, features (one block each), up_sampling."""
    numbers = {int(match[1]) for name in tensors if (match := re.match(r"features\.(\d+)\.", name))}
    spec = replace(spec, blocks=max(numbers) + 1 if numbers else spec.blocks)
    names = {"stem.conv": "down_sampling.1", "stem.norm": "down_sampling.2"}
    for i in (1, 2):
        names |= {f"down{i}.conv": f"down_sampling.{1 + 3 * i}", f"down{i}.norm": f"down_sampling.{2 + 3 * i}"}
        names |= {f"up{i}.conv": f"up_sampling.{3 * i - 3}", f"up{i}.norm": f"up_sampling.{3 * i - 2}"}
    names["head"] = "up_sampling.7"
    widths = {name: spec.widths[name] for name in ("stem", "down1", "down2", "up1", "up2")}
    idle = []
    for i in range(spec.blocks):
        found = _branches(f"features.{i}", f"blocks.{i}.branches", _INCRES_BRANCHES, tensors)
        names |= {**_joined(found), f"blocks.{i}.norm": f"features.{i}.pw_bn"}
        widths |= _present(f"block{i + 1}", found)
        if not found:
            idle.append(f"features.{i}.pw_bn.")
    return Reading(replace(spec, widths=widths), names, tuple(idle))


def incres_spade(spec: GeneratorSpec, tensors: Tensors) -> Reading:
    """SPADE's named layers, with CAT's branches in each and in the SPADE of each."""
    names = {"fc": "fc", "fc_norm": "fc_norm", "head": "conv_img"}
    widths = dict(spec.widths)
    idle = []
    for stage, theirs in STAGE_NAMES.items():
        ours, spade = f"stages.{stage}", f"{theirs}.spade"
        found = _branches(theirs, f"{ours}.branches", _STAGE_BRANCHES, tensors)
        inside = _branches(spade, f"{ours}.spade.modulation.branches", _SPADE_BRANCHES, tensors)
        names |= {**_joined(found), **_joined(inside), f"{ours}.spade.norm": f"{spade}.param_free_norm"}
        names |= {f"{ours}.shortcut_norm": f"{theirs}.shortcut.0", f"{ours}.shortcut": f"{theirs}.shortcut.1.conv"}
        widths |= {**_present(stage, found), **_present(f"{stage}.spade", inside)}
        if not found:
            idle.append(f"{spade}.")
    return Reading(replace(spec, widths=widths), names, tuple(idle))
