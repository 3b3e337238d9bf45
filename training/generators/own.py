"""A user's own generator: a function `package.module:function` that returns a `torch.nn.Module`.

It has no spec. Which function it is always comes from the user (a recipe, the command line), never from a file: a model
file that could name code to run would be as dangerous as a pickle.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan.bundle.manifest import Cost
from pocketgan.errors import ModelError
from pocketgan.files import write_atomic

if TYPE_CHECKING:
    import torch
    from torch import nn

Shape = tuple[int, int, int]


def call_function(name: str, search_path: Sequence[str] = (), seed: int | None = None) -> nn.Module:
    """The module that `package.module:function` returns.

    Args:
        search_path: folders searched before `sys.path`; the working folder where empty.
        seed: of the random weights; torch's generator is used as it is where None.
    Raises:
        ModelError: the function cannot be found or called, or returns something else.
    """
    import torch
    from torch import nn

    module_name, _, function_name = name.partition(":")
    _search(search_path)
    try:
        with torch.random.fork_rng(devices=[], enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed)
            made = getattr(importlib.import_module(module_name), function_name)()
    except Exception as error:  # the user's own code
        if isinstance(error, ModuleNotFoundError) and error.name == module_name:
            raise ModelError(f"{name}: there is no module {module_name} in the working folder or installed") from error
        raise ModelError(f"{name} gives no module: {type(error).__name__}: {error}") from error
    if not isinstance(made, nn.Module):
        raise ModelError(f"{name} returns {type(made).__name__}; a torch.nn.Module was expected")
    return made


def source_file(name: str) -> Path:
    """The file that holds the function; nothing is imported, no package around it either.

    Raises:
        ModelError: there is no such module.
    """
    _search(())
    module_name = name.partition(":")[0]
    folders: Sequence[str] | None = None
    found: ModuleSpec | None = None
    for part in accumulate(module_name.split("."), "{}.{}".format):
        # importlib.util.find_spec would import the package of a module to look inside.
        tries = (finder.find_spec(part, folders) for finder in sys.meta_path)
        found = next((spec for spec in tries if spec is not None), None)
        folders = (found and found.submodule_search_locations) or ()
    if found is None or found.origin is None:
        raise ModelError(f"{name}: there is no module {module_name} in the working folder or installed")
    return Path(found.origin)


def _search(folders: Sequence[str]) -> None:
    sys.path[:0] = [folder for folder in (folders or (str(Path.cwd()),)) if folder not in sys.path]


def check_generator(module: nn.Module, name: str, shape: Shape) -> None:
    """Run an image of zeros through the module.

    Raises:
        ModelError: it has no parameters, does not take (1, *shape), or gives something else than (1, 3, h, w).
    """
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise ModelError(f"{name} returns a module without trainable parameters")
    check_maps_pictures(module, name, shape)


def check_maps_pictures(module: nn.Module, name: str, shape: Shape) -> None:
    """Run an image of zeros through the module.

    Raises:
        ModelError: it does not take (1, *shape), or gives something else than (1, 3, h, w).
    """
    import torch

    from pocketgan.training.generators.copying import copied_network

    text = "x".join(map(str, shape))
    try:
        with torch.no_grad():
            output = copied_network(module).eval()(torch.zeros(1, *shape))
    except Exception as error:  # the user's own code
        raise ModelError(f"{name} does not take an input of 1x{text}: {type(error).__name__}: {error}") from error
    shape_made = "x".join(map(str, output.shape)) if isinstance(output, torch.Tensor) else type(output).__name__
    shape_expected = f"1x3x{shape[1]}x{shape[2]}"
    if shape_made != shape_expected:
        raise ModelError(
            f"{name} makes {shape_made} of an input of 1x{text}; one picture, {shape_expected}, was expected"
        )


def measured_cost(module: nn.Module, shape: Shape) -> Cost:
    """Parameters and MACs of one input, counted while the module runs on tensors without memory.

    Convolutions, matrix products and attention are counted wherever they are called; what PyTorch's counter does not
    know (FFTs, recurrent cells, custom kernels) counts nothing, nor do norms and elementwise operations.

    Raises:
        ModelError: the module does not run on the input.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from pocketgan.training.generators.copying import copied_network

    extra = 0

    def convolution(x_shape: Sequence[int], w_shape: Sequence[int], *rest: Any, out_shape: Sequence[int]) -> int:
        """FLOPs as executed; the MACs that papers count beyond them are remembered."""
        nonlocal extra
        transposed = bool(rest[4])
        pixels, across = (x_shape, out_shape) if transposed else (out_shape, x_shape)
        # weight: (out, in / groups, k, k), transposed (in, out / groups, k, k): products a pixel either way
        products = torch.Size(w_shape).numel()
        macs = x_shape[0] * products * torch.Size(pixels[2:]).numel()
        if transposed:
            extra += x_shape[0] * products * torch.Size(across[2:]).numel() - macs
        return 2 * macs

    mapping = {torch.ops.aten.convolution: convolution}
    shadow = copied_network(module).eval().to("meta")
    counter = FlopCounterMode(display=False, custom_mapping=mapping)
    try:
        with torch.no_grad(), counter:
            shadow(torch.zeros(1, *shape, device="meta"))
    except Exception as error:  # the user's own code
        raise ModelError(
            f"{type(module).__name__} cannot be costed at {'x'.join(map(str, shape))}: {type(error).__name__}: {error}"
        ) from error
    macs = counter.get_total_flops() // 2
    return Cost(params=sum(p.numel() for p in shadow.parameters()), macs=macs, macs_by_output=macs + extra)


def save_own(path: Path, module: nn.Module, function: str, shape: Shape, metadata: Mapping[str, str]) -> None:
    """Write the weights, and for people which function they belong to.

    Raises:
        StorageError: the disk is full or read-only.
    """
    from safetensors.torch import save

    from pocketgan.training.generators.files import METADATA_KEY

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    described = json.dumps({**metadata, "function": function, "input": list(shape)}, sort_keys=True)
    write_atomic(path, save(tensors, {METADATA_KEY: described}))


def load_weights(module: nn.Module, path: Path, function: str) -> nn.Module:
    """The same module in eval mode with the weights of the file.

    Raises:
        ModelError: the file is missing, unreadable, or does not fit.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, torch.Tensor] = load_file(path)
        module.load_state_dict(tensors)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} is not a readable .safetensors file: {error}") from error
    except RuntimeError as error:
        raise ModelError(f"{path} does not fit {function}; the function has changed since it was trained") from error
    return module.eval()
