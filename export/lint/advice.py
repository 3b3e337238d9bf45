"""What to put in the place of what no accelerator takes."""

from __future__ import annotations

import re
from collections.abc import Sequence

# The first pattern that fits decides. It is looked for in the layer's name, then in those of the operators.
_ADVICE: tuple[tuple[str, str], ...] = (
    (r"reflect|replicat|circular|^pad$", "pad with zeros, or with slices and a concatenation"),
    (
        r"instance_?norm|group_?norm|layer_?norm|native_batch_norm_legit",
        "batch norm, which folds into a convolution",
    ),
    (r"batch_?norm", "put it right behind a convolution, into which it folds"),
    (r"grid_?sampl", "warp in the app, before or after the network"),
    (r"bicubic", "bilinear or nearest up-sampling"),
    (r"bilinear", "nearest up-sampling, or a transposed convolution"),
    (r"upsampl|interpolate|resize", "scale by 2 before a convolution, or a transposed convolution"),
    (r"adaptive", "a mean over height and width, or average pooling of a fixed size"),
    (r"pixel_?(un)?shuffle|depthtospace|spacetodepth", "a transposed convolution, or a strided one"),
    (
        r"conv_?transpose",
        "a kernel of 4 with stride 2 and padding 1 needs no output padding; or up-sample by 2, then convolve",
    ),
    (r"lstm|gru|rnn", "convolutions or attention"),
    (r"attention|softmax", "two batched products and a softmax of three dimensions each"),
    (
        r"embedding|gather|index|scatter|take|arange",
        "slices and concatenations at fixed places, or a product by one-hot rows",
    ),
    (r"fft|svd|eig|qr|cholesky|inverse|solve", "precompute it, or leave it to the app"),
    (r"sort|topk|unique|nonzero|where|bool|gt|lt|eq", "clamp, minimum or maximum, or leave it to the app"),
    (r"chunk|split|unbind", "slices"),
    (r"slice|select", "a strided convolution with fixed weights, or pooling"),
    (r"std|var", "means: var is the mean of squares less the square of the mean"),
    (r"sum", "a mean, times the count"),
    (r"^erf$|gelu", "GELU(approximate='tanh'), or ReLU"),
    (r"elu|silu|mish|softplus|swish", "ReLU, LeakyReLU or hardswish"),
    (r"expand|repeat|tile", "let operators broadcast, or concatenate"),
    (r"int|to_|cast|dtype", "keep every tensor float32"),
)
_OTHERWISE = "compute it of operators that are taken, or leave it to the app"


def advice(layer: str, operators: Sequence[str]) -> str:
    """What to write instead of a layer whose operators these are."""
    for name in (layer, *operators):
        for pattern, change in _ADVICE:
            if re.search(pattern, name, re.IGNORECASE):
                return change
    return _OTHERWISE
