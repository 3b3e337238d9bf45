"""What a candidate of an evolution is judged by: its pictures of the images that are kept for choosing."""

import numpy as np
import pytest
import torch
from tiny_judges import Brightest, Features, backbone, script

from pocketgan.training.data.images import to_pixels, to_tensor
from pocketgan.training.data.labels import LabelFormat
from pocketgan.training.evolve_quality import Judging, Quality, measured, write_images
from pocketgan.training.generators import build, spec_by_name
from pocketgan.training.generators.files import save_generator
from pocketgan.training.parallel import open_pool
from pocketgan.training.quality.distributions import frechet_inception_distance
from pocketgan.training.quality.inception import features, load_inception
from pocketgan.training.quality.perceptual import Perceptual
from pocketgan.training.supernet import Supernet, recalibrate
from pocketgan.training.supernet_space import Space

CPU = torch.device("cpu")
FORM = LabelFormat(3)


def space(channels):
    base = spec_by_name("resnet6", ngf=4, norm="batch", height=32, width=32, input_channels=channels)
    return Space(base, widths=(2, 4), depths=(0, 1), inserted=1)


def pictures(count, seed):
    random = np.random.default_rng(seed)
    return [to_tensor(random.integers(0, 256, (32, 32, 3), np.uint8)) for _ in range(count)]


def maps(count, seed):
    """Label maps as a network takes them, and their indices; 3 is unknown."""
    indices = np.random.default_rng(seed).integers(0, 4, (count, 32, 32), np.uint8)
    return [torch.from_numpy(FORM.encode(one, None)).float() for one in indices], indices


class Judged:
    """Two candidates, the quality that they are judged by, and what each draws by itself."""

    def __init__(self, folder, inputs, targets, form):
        self.space = space(len(inputs[0]))
        self.candidates = [self.space.smallest, self.space.random(np.random.default_rng(1))]
        whole = build(self.space.whole, 3)
        save_generator(folder / "supernet.safetensors", whole, self.space.whole, {"trained": "yes"})
        write_images(
            folder / "images.safetensors",
            [{"input": x, "target": y} for x, y in zip(inputs, targets, strict=True)],
            inputs[:2],
        )
        self._folder, self._form = folder, form
        self.pictures = []
        for one in self.candidates:
            network, _ = Supernet(self.space, whole).extract(one)
            recalibrate(network, [torch.stack(inputs[:2])])
            with torch.no_grad():
                self.pictures.append([to_pixels(network(image[None])[0]) for image in inputs])

    def by(self, judging):
        with open_pool() as pool:
            quality = Quality(
                pool, self._folder / "judged", self.space, self._folder / "supernet.safetensors",
                self._folder / "images.safetensors", self._form,
            )  # fmt: skip
            return quality(self.candidates, judging, "candidate")


def test_by_mean_iou_the_higher_is_the_better(tmp_path):
    inputs, indices = maps(3, 0)
    judged = Judged(tmp_path, inputs, pictures(3, 1), FORM)
    expected = []
    for made in judged.pictures:
        found = np.stack(made).argmax(3)
        known = indices < 3
        of_classes = [
            ((found == c) & (indices == c)).sum() / (((found == c) | (indices == c)) & known).sum() for c in range(3)
        ]
        expected.append(-np.mean(of_classes))
    judging = Judging("miou", judge=script(Brightest(), tmp_path / "judge.pt"), judge_scale="unit")
    values = judged.by(judging)
    assert values == pytest.approx(expected, abs=1e-6)
    assert [measured(value, judging) for value in values] == [-value for value in values]


def test_by_distances_the_lower_is_the_better_and_every_file_is_read_by_its_own_measure(tmp_path):
    targets = pictures(4, 1)
    judged = Judged(tmp_path, pictures(4, 0), targets, None)
    alex, inception = backbone(tmp_path / "alex.safetensors"), script(Features(), tmp_path / "inception.pt")
    perceptual, network = Perceptual("alex", tmp_path / "alex.safetensors", CPU), load_inception(inception, CPU)
    of_targets = np.concatenate([*features(network, [to_pixels(one) for one in targets])])
    lpips, fid = [], []
    for made in judged.pictures:
        pairs = zip(made, targets, strict=True)
        lpips.append(np.mean([float(perceptual(to_tensor(one)[None], target[None])) for one, target in pairs]))
        fid.append(frechet_inception_distance(np.concatenate([*features(network, made)]), of_targets))
    assert judged.by(Judging("lpips", lpips_weights=alex)) == pytest.approx(lpips, rel=1e-3)
    assert judged.by(Judging("fid", inception=inception)) == pytest.approx(fid, rel=1e-3)
