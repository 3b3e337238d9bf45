"""Folders of small pairs, as `pocketgan pairs make` writes them, and a file with the features of texts."""

from pathlib import Path

import numpy as np
import torch
from concepts import SPEC, base_of

from pocketgan.pictures import write_image
from pocketgan.training.data.concepts import (
    CONCEPT_FILE,
    SET_FILE,
    ConceptRecord,
    PairsSet,
    PhotoRecord,
    Split,
    Teacher,
)
from pocketgan.training.generators.files import save_generator
from pocketgan.training.text.encoder import EncoderIdentity
from pocketgan.training.text.precomputed import write_features

DIGEST = "ab" * 32
EFFECTS = {
    "negative": lambda photo: 255 - photo,
    "dark": lambda photo: photo // 2,
    "red": lambda photo: photo * np.array([1, 0, 0], np.uint8),
}
COUNTS: dict[Split, int] = {"train": 4, "val": 2}


def make_pairs(folder, effect, size=32, counts=COUNTS):
    """A folder of pairs, A and B, of random photos."""
    random = np.random.default_rng(len(effect))
    for split, count in counts.items():
        for index in range(count):
            photo = random.integers(0, 256, (size, size, 3)).astype(np.uint8)
            for side, picture in (("A", photo), ("B", EFFECTS[effect](photo))):
                write_image(folder / split / side / f"{index}.png", picture)
    return folder


def make_concepts(folder, texts, size=32):
    """A folder of concepts: their pairs, with the records that say so."""
    photos = [PhotoRecord(name=f"{n}", file=f"{n}.png", sha256=DIGEST, split="train") for n in range(2)]
    for name, text in texts.items():
        made = make_pairs(folder / name, name, size)
        teacher = Teacher(kind="filters", name=name)
        record = ConceptRecord(
            name=name, text=text, teacher=teacher, size=size, counts=COUNTS, photos=DIGEST, digest=DIGEST
        )
        (made / CONCEPT_FILE).write_text(record.model_dump_json())
    (folder / SET_FILE).write_text(PairsSet(size=size, photos=photos, digest=DIGEST).model_dump_json())
    return folder


def write_texts(path: Path, *texts: str) -> Path:
    """What `pocketgan text` would write, of random features, which two texts do not share."""
    tokens = torch.randn(len(texts), 77, 512, generator=torch.Generator().manual_seed(0))
    write_features(path, texts, tokens, EncoderIdentity("sentences", "cd" * 32))
    return path


def make_base_and_pairs(folder: Path, train: int) -> tuple[Path, Path]:
    """A base's file, and a folder with so many photos and their negatives to train on."""
    save_generator(folder / "base.safetensors", base_of().module, SPEC, {"trained": "yes"})
    return folder / "base.safetensors", make_pairs(folder / "pairs", "negative", counts={"train": train, "val": 1})
