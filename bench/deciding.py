"""The command that decides where a comparison was undecided."""

from __future__ import annotations

import shlex

from pocketgan.bench.schema.result import Result


def command_that_decides(base: Result, candidate: Result) -> str:
    """What measures the two in turns, or for twice as long. Bundles of one name are told apart by their side alone."""
    names = [f"{one.bundle_name}.pgb" for one in (base, candidate)]
    if names[0] == names[1]:
        names = ["BASE.pgb", "CANDIDATE.pgb"]
    entry = f" --entry {candidate.job.entry}" if base.job.entry == candidate.job.entry else ""
    job, device = candidate.job, candidate.device
    entry += f" --concept {job.concept}" if job.concept is not None else ""
    # A farm's phone is known by a folder, a browser's comes by itself, and both are too far away for compare.
    is_far = device.name == "farm" or device.kind == "web"
    where = {"farm": "farm:DIR"}.get(device.name, "web" if device.kind == "web" else shlex.quote(device.name))
    how = f" --threads {job.threads}" if job.threads != 1 else ""
    how += f" --device {where}" if device.kind != "local" else ""
    how += f" --via {job.via}" if job.via in ("app", "shell") else ""
    how += f" --provider {job.provider}" if job.provider != "default" else ""
    how += f" --clock {job.clock}" if job.clock != "free" else ""
    if job.duration_s is None:
        return f"pocketgan {'bench' if is_far else 'compare'} {shlex.join(names)}{entry}{how}"
    how += f" --mode {job.mode} --seconds {2 * job.duration_s:g}{' --energy' if job.energy else ''}"
    return f"pocketgan bench {shlex.join(names)}{entry}{how}"
