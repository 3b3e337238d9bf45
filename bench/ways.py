"""How a device that is elsewhere carries a job out, in words."""

from __future__ import annotations

from pocketgan.bench.schema.job import Job


def ways(job: Job) -> list[str]:
    """What is not the usual of a run on the host, such as "via app" and "provider nnapi"."""
    told = [f"via {job.via}"] if job.via != "process" else []
    told += [f"provider {job.provider}"] if job.provider != "default" else []
    return told + ([f"{job.clock} clock"] if job.clock != "free" else [])
