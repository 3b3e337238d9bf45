"""The stage `bundle`: one `.pgb` a model, signed where the recipe names a key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pocketgan.errors import RecipeError
from pocketgan.files import sha256_file
from pocketgan.pipeline.roles import bundle_name, roles
from pocketgan.pipeline.stage import Context, Stage
from pocketgan.recipe.recipe import Recipe


def _outside(recipe: Recipe, run: Path) -> Any:
    """Content of the key."""
    if recipe.bundle is None or recipe.bundle.sign_with is None:
        return None
    key = Path(recipe.bundle.sign_with)
    if not key.is_file():
        raise RecipeError(
            f"bundle.sign_with: there is no key file {key}; make one: openssl genpkey -algorithm ed25519 -out {key}"
        )
    return sha256_file(key)


def _pack_bundles(context: Context) -> dict[str, Any]:
    """Digests by the bundles' names."""
    from pocketgan.bundle.packing import pack_folder
    from pocketgan.bundle.signature import sign

    stage = context.recipe.bundle
    assert stage is not None
    digests = {}
    for role in roles(context.recipe):
        name = bundle_name(context.recipe, role)
        path = context.folder / f"{name}.pgb"
        digests[name] = pack_folder(context.run / "export" / role, path)
        if stage.sign_with is not None:
            sign(path, Path(stage.sign_with))
    return digests


STAGE = Stage("bundle", 1, _pack_bundles, inputs=("export",), slices=("name",), outside=_outside)
