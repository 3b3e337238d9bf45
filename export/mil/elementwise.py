"""What Core ML's operations of one number at a time compute: activations, arithmetic, comparisons.

Defaults of left-out arguments are those of the MIL specification.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

OPERATORS: dict[str, Callable[..., Any]] = {
    "relu": lambda x: x.relu(),
    "relu6": lambda x: x.clamp(0, 6),
    "leaky_relu": lambda x, alpha: functional.leaky_relu(x, float(alpha)),
    "clamped_relu": lambda x, alpha, beta: torch.where(x >= 0, x, float(alpha) * x).clamp(max=float(beta)),
    "thresholded_relu": lambda x, alpha: torch.where(x >= float(alpha), x, 0.0),
    "prelu": lambda x, alpha: functional.prelu(x, alpha),
    "elu": lambda x, alpha: functional.elu(x, float(alpha)),
    "sigmoid": lambda x: x.sigmoid(),
    "sigmoid_hard": lambda x, alpha, beta: (float(alpha) * x + float(beta)).clamp(0, 1),
    "silu": lambda x: functional.silu(x),
    "tanh": lambda x: x.tanh(),
    "scaled_tanh": lambda x, alpha, beta: float(alpha) * (float(beta) * x).tanh(),
    "softplus": lambda x: x.clamp(min=0) + (-x.abs()).exp().log1p(),
    "softplus_parametric": lambda x, alpha, beta: (
        _of_channels(alpha, x) * functional.softplus(_of_channels(beta, x) * x)
    ),
    "softsign": lambda x: x / (1 + x.abs()),
    "softmax": lambda x, axis=-1: x.softmax(int(axis)),
    "linear_activation": lambda x, alpha, beta: float(alpha) * x + float(beta),
    "abs": lambda x: x.abs(),
    "sign": lambda x: x.sign(),
    "exp": lambda x: x.exp(),
    "exp2": lambda x: 2**x,
    "erf": lambda x: x.erf(),
    "square": lambda x: x.square(),
    "sqrt": lambda x: x.sqrt(),
    "rsqrt": lambda x, epsilon=1e-12: (x + epsilon).rsqrt(),
    "inverse": lambda x, epsilon=1e-4: 1 / (x + epsilon),
    "log": lambda x, epsilon=1e-45: (x + epsilon).log(),
    "sin": lambda x: x.sin(),
    "cos": lambda x: x.cos(),
    "tan": lambda x: x.tan(),
    "sinh": lambda x: x.sinh(),
    "cosh": lambda x: x.cosh(),
    "asin": lambda x: x.asin(),
    "acos": lambda x: x.acos(),
    "atan": lambda x: x.atan(),
    "atanh": lambda x: x.atanh(),
    "floor": lambda x: x.floor(),
    "ceil": lambda x: x.ceil(),
    "round": lambda x: x.round(),
    "clip": lambda x, alpha, beta: x.clamp(float(alpha), float(beta)),
    "threshold": lambda x, alpha: x.clamp(min=float(alpha)),
    "identity": lambda x: x,
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "real_div": lambda x, y: x / y,
    "floor_div": lambda x, y: torch.floor_divide(x, y),
    "mod": lambda x, y: torch.remainder(x, y),
    "pow": lambda x, y: x**y,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "equal": lambda x, y: x == y,
    "not_equal": lambda x, y: x != y,
    "greater": lambda x, y: x > y,
    "greater_equal": lambda x, y: x >= y,
    "less": lambda x, y: x < y,
    "less_equal": lambda x, y: x <= y,
    "logical_and": lambda x, y: x & y,
    "logical_or": lambda x, y: x | y,
    "logical_xor": lambda x, y: x ^ y,
    "logical_not": lambda x: ~x,
}


def _of_channels(vector: Tensor, like: Tensor) -> Tensor:
    """(c) turned so that it meets the second dimension."""
    return vector.reshape(-1, *[1] * (like.dim() - 2))
