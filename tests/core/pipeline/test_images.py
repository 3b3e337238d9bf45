"""How the stages after `data` read the images: all of them as the recipe's data section says."""

import numpy as np
from PIL import Image

from pocketgan.pipeline import data
from pocketgan.pipeline.digest import settings_of
from pocketgan.pipeline.images import INDEX, ImageIndex, find_splits, load_images
from pocketgan.recipe.recipe import Recipe
from pocketgan.training.data.images import to_pixels


def recipe(root, **of_data):
    return Recipe.model_validate(
        {
            "name": "x",
            "resolution": 32,
            "data": {"folder": str(root), **of_data},
            "teacher": {"steps": 1, "flip": False},
        }
    )


def test_training_and_validation_are_cut_as_the_recipe_says(tmp_path):
    root, run = tmp_path / "images", tmp_path / "run"
    wide = np.tile(np.arange(96, dtype=np.uint8)[:, None], (32, 1, 3))
    for split in ("train", "val"):
        (root / split).mkdir(parents=True)
        Image.fromarray(np.hstack([wide, wide])).save(root / split / "1.png")
    cut = recipe(root, fit="crop")
    assert cut.data is not None
    (run / "data").mkdir(parents=True)
    (run / "data" / INDEX).write_text(ImageIndex(find_splits(cut, root), str(root)).to_json())

    def row(of, split, augmented=None):
        samples = load_images(of, run, split, augmented=augmented)
        sample = samples.whole(0) if augmented is None else samples.sample(0, np.random.default_rng(1))
        return to_pixels(sample["input"])[0, :, 0].tolist()

    assert row(cut, "val") == list(range(32, 64))
    trained = row(cut, "train", cut.teacher)
    assert trained == list(range(trained[0], trained[0] + 32))
    # Stretched to a third of its width, the picture shows its first and its last column.
    stretched = row(recipe(root), "val")
    assert stretched[0] < 3
    assert stretched[-1] > 92


def test_how_images_fit_is_in_a_digest_only_where_it_is_not_the_default(tmp_path):
    assert settings_of(recipe(tmp_path, fit="stretch"), data.STAGE) == {"data": {}}
    assert settings_of(recipe(tmp_path, fit="crop"), data.STAGE) == {"data": {"fit": "crop"}}
