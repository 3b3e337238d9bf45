"""The gate before a run: a device that is hot from the last one would be measured slower than it is."""

from __future__ import annotations

import time
from collections.abc import Callable

from pocketgan.bench.schema.job import CoolDown
from pocketgan.bench.schema.result import Conditions, CooledDown

POLL_S = 1.0
_ORDER = ("nominal", "fair", "serious", "critical")


def is_cool(rule: CoolDown, state: Conditions) -> bool | None:
    """Whether the rule is met; None where the OS tells nothing that it asks for."""
    met = []
    if state.thermal_state is not None:
        met.append(_ORDER.index(state.thermal_state) <= _ORDER.index(rule.maximum_thermal_state))
    if rule.maximum_temperature_c is not None and state.temperature_c is not None:
        met.append(state.temperature_c <= rule.maximum_temperature_c)
    return all(met) if met else None


def wait_until_cool(
    rule: CoolDown, read: Callable[[], Conditions], sleep: Callable[[float], None] = time.sleep
) -> tuple[CooledDown, Conditions]:
    """Wait for the rule, its timeout at most; what came of it, and the state of the device then.

    Args:
        read: the state of the device now.
    """
    started = time.monotonic()
    waited = 0.0
    while (cool := is_cool(rule, state := read())) is False and waited < rule.timeout_s:
        sleep(min(POLL_S, rule.timeout_s - waited))
        waited = max(waited + POLL_S, time.monotonic() - started)
    return CooledDown(waited_s=round(waited, 3), cool=cool), state
