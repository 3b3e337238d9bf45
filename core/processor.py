"""What this host's processor is called and can do, as the system tells it; nothing heavy is imported."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
# What oneDNN asks for before it takes its AVX-512 kernels.
_AVX512 = {"avx512f", "avx512bw", "avx512vl", "avx512dq"}
_FAST_BF16 = {"AMX": {"amx_tile", "amx_bf16"}, "AVX-512 BF16": {"avx512_bf16"}}


def cpu_name() -> str:
    """The processor's name as its maker writes it, or the architecture where the system does not tell."""
    named = (value for key, value in _lines() if key in ("model name", "Model") and value)
    return next(named, "") or platform.processor() or platform.machine()


def cpu_features() -> frozenset[str]:
    """The instruction sets of the first core, as Linux writes them (`avx512f`, `amx_bf16`); empty on other systems."""
    return next((frozenset(value.split()) for key, value in _lines() if key == "flags"), frozenset())


def has_avx512() -> bool:
    """Whether oneDNN has its AVX-512 kernels here."""
    return cpu_features() >= _AVX512


def fast_bf16() -> str | None:
    """What computes bfloat16 on this processor: `AMX`, or `AVX-512 BF16`, which may be no faster than float32.

    None where nothing does: bfloat16 is emulated then, many times slower.
    """
    features = cpu_features()
    return next((name for name, needed in _FAST_BF16.items() if features >= needed and has_avx512()), None)


def _lines() -> Iterator[tuple[str, str]]:
    """Keys and values of /proc/cpuinfo, in its order; none where the system has no such file."""
    try:
        lines = CPUINFO.read_text(errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        key, _, value = line.partition(":")
        yield key.strip(), value.strip()
