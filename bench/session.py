"""A measuring session: entries of bundles run on a device, and nothing that was measured is lost."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pocketgan import console
from pocketgan.bench.devices.device import Device
from pocketgan.bench.devices.remote import RemoteDevice
from pocketgan.bench.devices.waiting import locked
from pocketgan.bench.jobs import JobOptions, options_on
from pocketgan.bench.journal import GalleryRow, Journal, SampleRow
from pocketgan.bench.plan import SessionPlan
from pocketgan.bench.schema.result import Result
from pocketgan.bundle.reader import Bundle, open_bundle
from pocketgan.errors import DeviceError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def measure(
    bundles: Sequence[Path],
    device: Device,
    options: JobOptions,
    journal_path: Path,
    samples: Mapping[str, Sequence[SampleRow]] | None = None,
    gallery: Mapping[str, Sequence[GalleryRow]] | None = None,
    resume: bool = False,
    wait_s: float = 0,
    sign_with: Ed25519PrivateKey | None = None,
) -> list[Result]:
    """Measure every entry of `bundles` that `device` can run, and append it to the results file.

    Bundles that share an entry id take turns, so that they can be compared. Each run is appended when it ends, so that
    an interrupted session loses no more than the one under way; a file that is there already is continued with a new
    session.

    Args:
        samples, gallery: pictures for the results file, by bundle digest; of a pack without, its golden ones.
        resume: take over the runs that the file already holds of the same jobs on this device, and go on in their
            session; runs without frames are measured again.
        wait_s: how long to wait for a device that is busy.
        sign_with: the results file is signed with that key as it ends, the whole of it.
    Returns:
        One Result per bundle, entry and concept, its runs joined and its components composed, in the order of the
        bundles; what went wrong with a model is in its errors.
    Raises:
        BundleError: a bundle is damaged, or has no such concept.
        DeviceError: the device is locked, or can run nothing of a bundle.
        ResultsError, StorageError: the results file is foreign or broken, or cannot be written.
    """
    with ExitStack() as stack:
        opened = _open_all(stack, bundles)
        asked = options_on(device, options)
        plan = SessionPlan(opened, device, asked)
        stack.enter_context(locked(device, wait_s))
        journal = stack.enter_context(Journal(journal_path, sign_with))
        for bundle in opened:
            shown = (gallery or {}).get(bundle.digest) or _golden_gallery(bundle, journal)
            journal.append_bundle(bundle.digest, bundle.manifest, (samples or {}).get(bundle.digest, ()), shown)
        if device.name == "web":
            # Only then: a server and its certificate take a while to import.
            from pocketgan.bench.devices.web.gathering import WebDevices
            from pocketgan.bench.visits import measure_visits

            assert isinstance(device, WebDevices)
            return measure_visits(opened, device, asked, journal, resume, new_session())
        session = plan.take_over(journal.results.results, device.describe()) if resume else None
        if plan.done:
            console.note(f"{len(plan.done)} of {plan.planned_runs} runs are in {journal_path} already")
        if resume and session is None and isinstance(device, RemoteDevice):
            # The host was cut off before the first result; the device may have gone on.
            session = device.session_left(plan.jobs)
        session = session or new_session()
        with console.progress("measuring", plan.steps) as progress, _saying_where_it_stopped(journal_path, plan):

            def keep(result: Result) -> None:
                journal.append_result(result)
                plan.take(result)

            if isinstance(device, RemoteDevice):
                for batch in plan.batches():
                    device.run_groups(batch, session=session, tick=progress.advance, keep=keep)
                return plan.outcome()
            for group in plan.groups():
                for result in device.run_interleaved(group, session=session, tick=progress.advance):
                    keep(result)
        return plan.outcome()


def _golden_gallery(bundle: Bundle, journal: Journal) -> list[GalleryRow]:
    """Of a pack, unless the results file has a gallery of it."""
    if not bundle.manifest.concepts or journal.has_gallery(bundle.digest):
        return []
    from pocketgan.bench.gallery import golden_gallery

    return golden_gallery(bundle)


@contextmanager
def _saying_where_it_stopped(path: Path, plan: SessionPlan) -> Iterator[None]:
    """Say, when the user stops it or the device is lost, where the runs so far are; nothing where there are none."""
    try:
        yield
    except (KeyboardInterrupt, DeviceError):
        if plan.done:
            console.note(f"{path} holds the runs that were complete; --resume goes on from there")
        raise


def _open_all(stack: ExitStack, paths: Sequence[Path]) -> list[Bundle]:
    """The bundles, each once, in order."""
    opened: dict[str, Bundle] = {}
    for path in paths:
        bundle = stack.enter_context(open_bundle(path))
        opened.setdefault(bundle.digest, bundle)
    return list(opened.values())


def new_session() -> str:
    """Name of a session: when it began, and something that no other has."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
