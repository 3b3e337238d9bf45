"""A small segmentation network that judges generated street scenes: trained on the real photos and their label maps.

    python -m pocketgan.training.quality.judge DATA --classes 11 --size 192x256 --out judge.onnx

mIoU of generated photos is measured with it (`pocketgan quality GENERATED --segmentation judge.onnx --labels ...`); the
mIoU of the real validation photos, which it prints, is the most that a generator can hope for. The papers use DRN-D-105
weights instead; where they are to be had, exported to ONNX, they are the better judge.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pocketgan import console
from pocketgan.errors import require
from pocketgan.files import atomic_file
from pocketgan.training.data.labels import LabelFormat, LabelMaps, find_scenes
from pocketgan.training.data.samples import batch
from pocketgan.training.quality.confusion import Confusion

WIDTHS = (32, 64, 96, 128)
BATCH = 8
LEARNING_RATE = 2e-3


class Judge(nn.Module):
    """A U-Net that works at half the size. forward: (n, 3, h, w) in [-1, 1] -> logits (n, classes, h, w)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = _twice(3, WIDTHS[0], stride=2)
        self.downs = nn.ModuleList(_twice(a, b, stride=2) for a, b in itertools.pairwise(WIDTHS))
        self.ups = nn.ModuleList(_twice(a + b, b, stride=1) for a, b in zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True))
        self.head = nn.Conv2d(WIDTHS[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        skips = []
        for down in self.downs:
            skips.append(x)
            x = down(x)
        for up in self.ups:
            grown = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = up(torch.cat([grown, skips.pop()], 1))
        return functional.interpolate(self.head(x), scale_factor=2.0, mode="bilinear", align_corners=False)


def _twice(inputs: int, outputs: int, stride: int) -> nn.Module:
    layers: list[nn.Module] = []
    for c, s in ((inputs, stride), (outputs, 1)):
        layers += [nn.Conv2d(c, outputs, 3, s, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


def train(data: LabelMaps, classes: int, steps: int, seed: int) -> Judge:
    """Cross entropy on random crops, unknown pixels left out; AdamW with one cycle of the learning rate."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    judge = Judge(classes)
    optimiser = torch.optim.AdamW(judge.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, steps)
    with console.progress("judge", steps) as bar:
        for _ in range(steps):
            pairs = batch([data.sample(int(i), random) for i in random.integers(0, len(data), BATCH)])
            loss = functional.cross_entropy(judge(pairs["target"]), _indices(pairs["input"], classes), ignore_index=-1)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            bar.advance(1, f"loss {loss.item():.3f}")
    return judge.eval()


def _indices(one_hot: Tensor, classes: int) -> Tensor:
    """(n, channels, h, w) of 0 and 1 -> (n, h, w) class indices, -1 where unknown."""
    known = one_hot[:, :classes]
    return torch.where(known.any(1), known.float().argmax(1), -1)


@torch.no_grad()
def mean_iou(judge: Judge, data: LabelMaps, classes: int) -> float | None:
    """mIoU on the whole real photos, in [0, 1]."""
    confusion = Confusion(classes, ignore=classes)
    for index in range(len(data)):
        scene = batch([data.whole(index)])
        labels = _indices(scene["input"], classes)
        labels[labels < 0] = classes
        confusion.add(judge(scene["target"]).argmax(1)[0].numpy(), labels[0].numpy())
    return confusion.mean()


def main() -> None:
    """Train on DATA/train, say how good it is on DATA/val, and write an ONNX file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="train/ and val/ with photo/ and label/")
    parser.add_argument("--classes", type=int, required=True, help="labels are 0 to classes - 1; the next is unknown")
    parser.add_argument("--size", required=True, metavar="HxW", help="multiples of 16, such as 192x256")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    require("export", "onnx", "onnxscript")
    height, width = (int(side) for side in options.size.split("x"))
    form = LabelFormat(options.classes)
    scenes = find_scenes(options.data, form)
    judge = train(
        LabelMaps(scenes["train"], form, (height, width), load_scale=1.25, flip=True),
        options.classes,
        options.steps,
        options.seed,
    )
    score = mean_iou(judge, LabelMaps(scenes["val"], form, (height, width)), options.classes)
    with atomic_file(options.out) as temporary:
        example = torch.zeros(1, 3, height, width)
        torch.onnx.export(judge, (example,), temporary, dynamo=True, external_data=False, verbose=False)
    print(json.dumps({"miou_of_real_photos": score, "steps": options.steps, "path": str(options.out)}))


if __name__ == "__main__":
    main()
