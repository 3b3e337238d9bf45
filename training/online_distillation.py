"""L_OD, the loss between a student's picture and its teacher's (OMGD, Ren et al. 2021, section 3.1; UGC takes it over).

    10 (1 - SSIM) + 1e4 style + 10 content + 1e-5 TV,   summed over the teachers

as OMGD's code computes it: its option `AGD_weights` is read as SSIM, style, feature, TV, so that 1e4 belongs to style;
the text of the papers names the terms in another order. Total variation is a sum, over the images of a batch too, where
the other terms are means. All of it is computed in float32.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pocketgan.recipe.choices import CONTENT, SSIM, STYLE, TV
from pocketgan.training.losses import l1_loss

# Of the SSIM: an 11x11 window, its deviation in pixels, and the constants of Wang et al. (2004) for a range of 1, which
# the code keeps though its images lie in [-1, 1].
WINDOW, SIGMA, C1, C2 = 11, 1.5, 0.01**2, 0.03**2
_TILE = 64
# relu2_2 among relu1_2, relu2_2, relu3_3 and relu4_3.
CONTENT_FEATURE = 1


@dataclass(frozen=True)
class TeacherFeatures:
    """What L_OD needs of a teacher's pictures, computed once for all students; without gradients.

    Attributes:
        image: (n, 3, h, w) in [-1, 1].
        blurred, blurred_square: means of it and of its square in the windows of the SSIM.
        grams: (n, c, c) of every feature.
        content: relu2_2.
    """

    image: Tensor
    blurred: Tensor
    blurred_square: Tensor
    grams: tuple[Tensor, ...]
    content: Tensor


class OnlineDistillation:
    """L_OD of a student's pictures.

    Args:
        vgg: gives relu1_2, relu2_2, relu3_3 and relu4_3 of VGG16 for images in [0, 1], which are not normalised as
            ImageNet classifiers expect; see `vgg.load_vgg16`. None where neither style nor content counts.
        ssim, style, content, tv: weights; a term of weight 0 is not computed.
    """

    def __init__(
        self,
        vgg: nn.Module | None,
        *,
        ssim: float = SSIM,
        style: float = STYLE,
        content: float = CONTENT,
        tv: float = TV,
    ) -> None:
        self.vgg = vgg
        self.ssim, self.style, self.content, self.tv = ssim, style, content, tv

    @torch.no_grad()
    def teacher(self, images: Tensor) -> TeacherFeatures:
        """What students are held against: (n, 3, h, w) pictures of a teacher."""
        features, grams = self._features(images.detach().float())
        images = _plain(images.detach())
        blurred, blurred_square = blur(torch.cat([images, images.square()], 1)).chunk(2, 1)
        content = features[CONTENT_FEATURE] if features else images[:0]
        return TeacherFeatures(images, blurred, blurred_square, tuple(grams), content)

    def __call__(self, student: Tensor, *teachers: TeacherFeatures) -> dict[str, Tensor]:
        """The weighted terms, summed over the teachers; the student's features are computed once.

        Args:
            student: (n, 3, h, w) pictures of the inputs that the teachers' are of.
        """
        features, grams = self._features(student.float())
        student = _plain(student)
        terms: dict[str, Tensor] = {}
        if self.ssim:
            terms["ssim"] = self.ssim * torch.stack([1 - ssim(student, teacher) for teacher in teachers]).sum()
        if self.style:
            distances = [l1_loss(ours, its) for one in teachers for ours, its in zip(grams, one.grams, strict=True)]
            terms["style"] = self.style * torch.stack(distances).sum()
        if self.content:
            ours = features[CONTENT_FEATURE]
            distances = [_Distance.apply(ours, teacher.content) for teacher in teachers]
            terms["content"] = self.content * torch.stack(distances).sum()
        if self.tv:
            terms["tv"] = len(teachers) * self.tv * total_variation(student)
        return terms

    def _features(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """VGG's features, and their Gram matrices."""
        grams: list[Tensor] = []

        def with_gram(feature: Tensor) -> Tensor:
            feature, products = _Gram.apply(feature)
            grams.append(products)
            return feature

        if not (self.style or self.content):
            return [], grams
        assert self.vgg is not None
        if not self.style:
            return self.vgg((images + 1) / 2), grams
        return self.vgg((images + 1) / 2, with_gram), grams


def _plain(images: Tensor) -> Tensor:
    """In float32 and channel by channel: with three channels last, every step of the SSIM takes three times as long."""
    return images.float().contiguous()


def ssim(student: Tensor, teacher: TeacherFeatures) -> Tensor:
    """Mean structural similarity over images, channels and pixels, 1 for equal images; zeros lie around them."""
    return _Ssim.apply(student, teacher.image, teacher.blurred, teacher.blurred_square)


class _Ssim(torch.autograd.Function):
    """Image by image, each with its gradient, so that what is computed of one stays in the processor's cache."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, image: Tensor, blurred: Tensor, blurred_square: Tensor) -> Tensor:
        wanted = ctx.needs_input_grad[0]
        gradient = torch.empty_like(student) if wanted else student[:0]
        means = []
        for index, (x, other, mean_t, square_t) in enumerate(zip(student, image, blurred, blurred_square, strict=True)):
            mean, square, product = blur(torch.stack([x, x.square(), x * other])).unbind()
            luminance, contrast = 2 * mean * mean_t + C1, 2 * (product - mean * mean_t) + C2
            energy = mean.square() + mean_t.square() + C1
            variance = square - mean.square() + square_t - mean_t.square() + C2
            below = energy * variance
            alike = luminance * contrast / below
            means.append(alike.mean())
            if wanted:
                to_mean = mean_t * (contrast - luminance) / below + mean * alike * (1 / variance - 1 / energy)
                parts = blur(torch.stack([2 * to_mean, -alike / variance, 2 * luminance / below]))
                gradient[index] = (parts[0] + 2 * x * parts[1] + other * parts[2]) / student.numel()
        ctx.save_for_backward(gradient)
        return torch.stack(means).mean()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0], None, None, None


def blur(images: Tensor) -> Tensor:
    """Means in Gaussian windows of (n, c, h, w), zeros around; the window is the product of one along each axis."""
    with torch.autocast(images.device.type, enabled=False):
        return _means_of_columns(_means_of_rows(images))


def _means_of_rows(images: Tensor) -> Tensor:
    rows = images.flatten(0, 2)
    means = torch.empty_like(rows)
    for tile, near in _tiles(images.shape[3]):
        torch.mm(rows[:, near], _bands(images.shape[3], images.device)[near, tile], out=means[:, tile])
    return means.view_as(images)


def _means_of_columns(images: Tensor) -> Tensor:
    planes = images.flatten(0, 1)
    tiles = [
        _bands(images.shape[2], images.device)[tile, near] @ planes[:, near] for tile, near in _tiles(images.shape[2])
    ]
    return torch.cat(tiles, 1).view_as(images)


def _tiles(size: int) -> Iterator[tuple[slice, slice]]:
    """Pixels in a row, and those that their windows see: of the whole row most products would be with zeros."""
    for start in range(0, size, _TILE):
        end = min(start + _TILE, size)
        yield slice(start, end), slice(max(start - WINDOW // 2, 0), min(end + WINDOW // 2, size))


@functools.lru_cache(maxsize=8)
def _bands(size: int, device: torch.device) -> Tensor:
    """(size, size): row i holds the window around i. Products with it take a fifth of the time of convolutions."""
    places = torch.arange(size)
    offsets = (places[:, None] - places).double()
    weights = torch.exp(-offsets.square() / (2 * SIGMA**2))
    centre = torch.exp(-torch.arange(-(WINDOW // 2), WINDOW // 2 + 1).double().square() / (2 * SIGMA**2))
    return (weights / centre.sum() * (offsets.abs() <= WINDOW // 2)).float().to(device)


def gram(feature: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, c, c): products of all pairs of channels, divided by c h w."""
    return _Gram.apply(feature)[1]


class _Gram(torch.autograd.Function):
    """A feature as it is, for the layers behind it, and its Gram matrix.

    Backwards one matrix product adds the matrix's gradient to that of the layers behind, in place: autograd would take
    two, as it does not see the symmetry, and passes for a copy and the sum. Pooling and `_Distance`, which lie behind,
    make their gradients afresh, so that nobody else reads them.
    """

    @staticmethod
    def forward(ctx: Any, feature: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(feature)
        ctx.set_materialize_grads(False)
        with torch.autocast(feature.device.type, enabled=False):
            flat = _flat(feature.float())
            return feature.detach(), flat @ flat.transpose(1, 2) / feature[0].numel()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Tensor | None:
        (feature,) = ctx.saved_tensors
        behind, products = gradients
        if products is None:
            return behind
        plain = feature.is_contiguous()
        layout = torch.contiguous_format if plain else torch.channels_last
        both = (products + products.transpose(1, 2)) / feature[0].numel()
        with torch.autocast(feature.device.type, enabled=False):
            total = (torch.zeros_like(feature) if behind is None else behind).float().contiguous(memory_format=layout)
            if plain:
                _flat(total).baddbmm_(both, _flat(feature.float()))
            else:
                _pixels(total).baddbmm_(_pixels(feature.float()), both)
        return total.to(feature.dtype)


def _flat(feature: Tensor) -> Tensor:
    """(n, c, h w), without a copy of channels that come last in memory."""
    return feature.flatten(2) if feature.is_contiguous() else _pixels(feature).transpose(1, 2)


def _pixels(feature: Tensor) -> Tensor:
    """(n, h w, c)."""
    return feature.permute(0, 2, 3, 1).flatten(1, 2)


class _Distance(torch.autograd.Function):
    """Mean absolute difference; its gradient takes the difference's place. A quarter of the time of the operations in a
    row."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        difference = x.float() - y.float()
        ctx.save_for_backward(difference)
        return torch.linalg.vector_norm(difference, 1) / difference.numel()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (difference,) = ctx.saved_tensors
        return difference.sgn_().mul_(gradients[0] / difference.numel()), None


def total_variation(images: Tensor) -> Tensor:
    """Sum of absolute differences of neighbouring pixels, over rows, columns, channels and images."""
    images = images.float()
    across = (images[:, :, :, 1:] - images[:, :, :, :-1]).abs().sum()
    return across + (images[:, :, 1:, :] - images[:, :, :-1, :]).abs().sum()
