"""What the functions of the Python API answer, beyond what the parts have names for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketgan.bench.verdict import Pair, Verdict
    from pocketgan.bundle.manifest import Manifest


@dataclass(frozen=True)
class ExportedBundle:
    """What `export` wrote.

    Attributes:
        path: the `.pgb` file, or the folder of the unpacked bundle.
        manifest: what it says of itself: entries with bytes, parity and delegation.
        failed: entries that were asked and could not be written, by id, with the reason.
    """

    path: Path
    manifest: Manifest
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Verification:
    """Whether a bundle's entries compute what their golden outputs say.

    Attributes:
        problems: each beginning with its entry's id, in a pack with its concept; empty where all agree.
        skipped: entries that the device cannot run, by id, with the reason.
        unproven: entries whose agreement proves less than it seems, by id and concept, with the reason: models of
            others whose golden outputs come from the runtime itself, and files that were not checked where they were
            exported.
    """

    problems: tuple[str, ...]
    skipped: Mapping[str, str]
    unproven: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.problems


@dataclass(frozen=True)
class GateDecision:
    """What `compare` says.

    Attributes:
        verdict: PASS, REGRESSION, TOO SLOW, NOISY or INCOMPARABLE; the worst of the pairs.
        pairs: one for each entry that both sides have, with its metrics.
    """

    verdict: Verdict
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class MergedConcept:
    """What `merge` wrote.

    Attributes:
        path, bytes: of the plain generator's model file.
        concept, text: of the adapter.
        text_encoder, text_encoder_digest: which encoder read the text.
        base_sha256: digest of the base's weights.
        ranks: by part.
    """

    path: Path
    bytes: int
    concept: str
    text: str
    text_encoder: str
    text_encoder_digest: str
    base_sha256: str
    ranks: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "path": str(self.path)}
