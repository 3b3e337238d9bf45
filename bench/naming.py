"""What of a bundle a Job measures, in words."""

from __future__ import annotations

from pocketgan.bench.schema.job import Job
from pocketgan.bundle.manifest import Manifest


def concept_of(job: Job, manifest: Manifest) -> str | None:
    """The concept that was drawn, which a Job of a pack's default need not name; None where the bundle is no pack."""
    return job.concept or manifest.default_concept


def job_name(job: Job) -> str:
    """Entry, concept and component, as "onnx-fp32 ink"."""
    return " ".join(part for part in (job.entry, job.concept, job.component) if part is not None)


def drawn_name(entry_id: str, concept: str | None) -> str:
    """The same of an entry and what it draws."""
    return entry_id if concept is None else f"{entry_id} {concept}"
