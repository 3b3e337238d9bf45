"""Everything that is wrong with a bundle."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from pocketgan.bundle.damage import NotABundleError, reading
from pocketgan.bundle.named_files import named_file_problems
from pocketgan.bundle.reader import Bundle
from pocketgan.bundle.signature import judge
from pocketgan.bundle.sources import must_look_like_bundle, open_source
from pocketgan.errors import BundleError


def check(path: Path) -> list[str]:
    """Every problem found in the bundle, all hashes and the signature included; empty for a sound one.

    Raises:
        BundleError: there is nothing at `path` that could be a bundle.
    """
    with reading(path):
        must_look_like_bundle(path)
    problems: list[str] = []
    try:
        with reading(path), closing(open_source(path)) as source:
            bundle = Bundle(path, source)
            problems += bundle.listing_problems()
            damaged = _content_problems(bundle, source.sizes.keys())
            problems += damaged or named_file_problems(bundle)
            state = judge(bundle.manifest_bytes, bundle.signature_bytes)
            problems += [state.problem] if state.problem else []
    except NotABundleError:
        raise
    except BundleError as error:
        problems.append(str(error).removeprefix(f"{path}: "))
    return problems


def _content_problems(bundle: Bundle, there: Collection[str]) -> list[str]:
    """Listed files that are there, but whose content is not what the manifest says."""
    problems = []
    for record in bundle.manifest.files():
        if record.path not in there:
            continue
        try:
            for _ in bundle.chunks(record.path):
                pass
        except BundleError as error:
            problems.append(str(error).removeprefix(f"{bundle.path}: "))
    return problems
