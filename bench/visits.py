"""A session on phones that come to it: each is a device of its own, with its own plan, and all are measured at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest

from pocketgan import console
from pocketgan.bench.devices.waiting import locked
from pocketgan.bench.devices.web.device import WebPhone
from pocketgan.bench.devices.web.facts import About
from pocketgan.bench.devices.web.gathering import Gathering, WebDevices
from pocketgan.bench.jobs import JobOptions
from pocketgan.bench.journal import Journal
from pocketgan.bench.naming import job_name
from pocketgan.bench.plan import SessionPlan
from pocketgan.bench.schema.job import Job
from pocketgan.bench.schema.result import DeviceInfo, Result
from pocketgan.bench.schema.words import Provider
from pocketgan.bench.statistics import frame_times, summarise
from pocketgan.bundle.reader import Bundle
from pocketgan.errors import DeviceError

_LOOK_S = 0.2
_NAMES: dict[str, str] = {"wasm": "WebAssembly", "webgpu": "WebGPU"}


def measure_visits(
    bundles: Sequence[Bundle], web: WebDevices, options: JobOptions, journal: Journal, resume: bool, session: str
) -> list[Result]:
    """Measure on every phone that opens the page, until as many are done as are waited for, or the time is over.

    Args:
        session: its name, where a phone brings none of a session that was cut.
    Returns:
        One Result per phone, bundle, entry and way to compute, of the phones that were done.
    Raises:
        DeviceError: none was.
    """
    earlier = list(journal.results.results) if resume else []
    kept = _Kept(journal, earlier)
    visits: list[Visit] = []
    end = time.monotonic() + web.options.time_limit_s
    with web.open() as gathering:
        try:
            while sum(visit.is_done for visit in visits) < web.options.phones and time.monotonic() < end:
                if (phone := gathering.next_phone(_LOOK_S)) is not None:
                    visits.append(Visit(phone, bundles, options, kept, session, gathering, resume))
                _raise_faults(visits)
        except KeyboardInterrupt:
            if not any(visit.is_done for visit in visits):
                raise
            console.note("stopped; what was measured is kept")
        finally:
            gathering.end("the session is over")
            for visit in visits:
                visit.wait()
            if any(not visit.is_done for visit in visits) and kept.added:
                console.note(f"{journal.path} holds the runs that were complete; --resume goes on from there")
    _raise_faults(visits)
    done = [visit for visit in visits if visit.is_done]
    if not done:
        came = "; ".join(visit.problem for visit in visits if visit.problem) or "no phone opened the page"
        raise DeviceError(f"nothing was measured to its end in {web.options.time_limit_s:g} s: {came}")
    return [result for visit in done for result in visit.outcome()]


class Visit:
    """One phone, measured in a thread of its own from its making on.

    Attributes:
        is_done: whether all that was asked of it is measured. problem: why not, "" while nothing is wrong.
        fault: what is no fault of the phone, such as a full disk.
    """

    def __init__(
        self,
        phone: WebPhone,
        bundles: Sequence[Bundle],
        options: JobOptions,
        kept: _Kept,
        session: str,
        gathering: Gathering,
        resume: bool,
    ) -> None:
        self._phone, self._bundles, self._options = phone, bundles, options
        self._kept, self._session, self._gathering, self._resume = kept, session, gathering, resume
        self._plans: dict[tuple[str, int], SessionPlan] = {}
        self.is_done = False
        self.problem = ""
        self.fault: BaseException | None = None
        self._thread = threading.Thread(target=self._measure, name=phone.name, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until it has ended."""
        self._thread.join()

    def outcome(self) -> list[Result]:
        """What was measured. Of a way to compute that nobody asked for by name, what gave no frames is left out."""
        found = [result for plan in self._plans.values() for result in plan.outcome()]
        return [result for result in found if result.frames or not self._is_extra(result.job)]

    def _is_extra(self, job: Job) -> bool:
        return self._options.provider == "default" and job.provider == "webgpu"

    def _measure(self) -> None:
        visitor = self._phone.visitor
        try:
            with locked(self._phone):
                self._carry_out()
            self._name_the_faster()
            self.is_done = True
            console.note(f"{self._name}: done")
            visitor.say("over", "Done. The results are on the computer that asked for them.")
        except DeviceError as problem:
            self.problem = str(problem)
            console.note(f"{self._name}: {problem}")
            self._gathering.visitors.give_up(visitor)
            visitor.say("over", f"Ended: {problem}. Load this page again to go on.")
        except BaseException as fault:
            self.fault = fault
            visitor.say("over", "Ended: a problem of the computer that asked.")

    def _carry_out(self) -> None:
        info = self._phone.describe()
        session = None
        for provider, threads in ways(self._options, self._phone.visitor.about):
            plan = SessionPlan(self._bundles, self._phone, replace(self._options, provider=provider, threads=threads))
            session = self._kept.take_over(plan, info) or session
            self._plans[provider, threads] = plan
        if session is None and self._resume:
            # The host was cut off before the first result; the browser kept what it had measured.
            session = self._phone.session_left([job for plan in self._plans.values() for job in plan.jobs])
        planned = sum(plan.planned_runs for plan in self._plans.values())
        done = sum(len(plan.done) for plan in self._plans.values())
        console.note(
            f"{self._name}: {planned} run{'s' if planned > 1 else ''}" + (f", {done} there already" if done else "")
        )
        streams = [plan.batches() for plan in self._plans.values()]
        planned_groups = [next(stream, []) for stream in streams]
        # In turns, so that no way to compute is always the one that finds the phone cool.
        groups = [group for together in zip_longest(*planned_groups) for group in together if group]
        for batch in [groups, *(batch for stream in streams for batch in stream)]:
            if batch:
                self._phone.run_groups(batch, session=session or self._session, keep=self._keep)
                self._phone.visitor.say("wait")

    def _keep(self, result: Result) -> None:
        self._kept.add(result)
        self._plans[result.job.provider, result.job.threads].take(result)
        told = "; ".join(result.errors) if result.errors else f"{_median_ms(result):.2f} ms"
        what = f"{result.bundle_name} {job_name(result.job)}"
        console.note(f"{self._name}: {what} {way_words(result.job)}: {told}")

    def _name_the_faster(self) -> None:
        """Which way to compute is the faster one, of each entry and concept that ran in several."""
        by_what: dict[tuple[str, str], list[Result]] = {}
        for result in self.outcome():
            if result.frames:
                by_what.setdefault((result.job.bundle, job_name(result.job)), []).append(result)
        for (_, what), results in by_what.items():
            if len(results) > 1:
                first, second, *_ = sorted(results, key=_median_ms)
                console.note(
                    f"{self._name}: {first.bundle_name} {what}: {way_words(first.job)} is the faster: "
                    f"{_median_ms(first):.2f} ms, {way_words(second.job)} {_median_ms(second):.2f} ms"
                )

    @property
    def _name(self) -> str:
        return f"{self._phone.name} ({self._phone.visitor.about.words})"


class _Kept:
    """Results of all phones, one by one in the file.

    Attributes:
        added: how many.
    """

    def __init__(self, journal: Journal, earlier: Sequence[Result]) -> None:
        self._journal = journal
        self._results = list(earlier)
        self.added = 0
        self._lock = threading.Lock()

    def add(self, result: Result) -> None:
        with self._lock:
            self._journal.append_result(result)
            self._results.append(result)
            self.added += 1

    def take_over(self, plan: SessionPlan, device: DeviceInfo) -> str | None:
        """See SessionPlan.take_over."""
        with self._lock:
            return plan.take_over(self._results, device)


def ways(options: JobOptions, about: About) -> list[tuple[Provider, int]]:
    """Providers and threads to measure with on a phone: what was asked for; where nothing was, WebAssembly, and WebGPU
    where the phone has it.

    Raises:
        DeviceError: its browser cannot do what was asked for; says why.
    """
    if options.provider == "webgpu":
        if "webgpu" not in about.providers:
            raise DeviceError("its browser gives this page no WebGPU: leave out --provider, or use a newer browser")
        return [("webgpu", 1)]
    if options.threads > about.most_threads:
        why = "its page is not isolated (plain HTTP)" if not about.isolated else f"it has {about.most_threads} cores"
        raise DeviceError(f"{options.threads} threads cannot be had there, {why}: leave out --threads")
    found: list[tuple[Provider, int]] = [("wasm", options.threads)]
    # A program in the adapter's place takes a hundred times as long, and says nothing of any phone.
    if options.provider == "default" and "webgpu" in about.providers and not about.simulated_gpu:
        found.append(("webgpu", 1))
    return found


def way_words(job: Job) -> str:
    """`WebAssembly, 2 threads`."""
    name = _NAMES.get(job.provider, job.provider)
    return f"{name}, {job.threads} threads" if job.threads > 1 else name


def _median_ms(result: Result) -> float:
    return summarise(frame_times(result.frames)).median if result.frames else 0.0


def _raise_faults(visits: Sequence[Visit]) -> None:
    for visit in visits:
        if visit.fault is not None:
            raise visit.fault
