"""The forms that are asked of a model, and what can be found out about them before anything is lowered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pocketgan.errors import ExportError, MissingExtraError, PocketganError
from pocketgan.export.entry import entry_id
from pocketgan.export.targets import find_target
from pocketgan.export.targets.target import Form, must_have_calibration

# Targets whose libraries must not be loaded into a user's process.
_WORKERS_ONLY = {
    "executorch-qualcomm": "its libraries change how torch computes; give the network as package.module:function"
}


def check_forms(
    targets: Sequence[tuple[str, str | None]],
    *,
    calibrated: bool,
    ios: int | None = None,
    soc: str | None = None,
    in_this_process: bool = False,
) -> list[tuple[str, str]]:
    """Find out what would fail later: packages and SDKs, the system, the chip, inputs to calibrate on.

    Args:
        targets: pairs of target and precision, None for the target's default.
        calibrated: whether there are real inputs for integer activations.
        ios: oldest iOS for Core ML.
        soc: Qualcomm's name of the phone's chip.
        in_this_process: no worker can load the model.
    Returns:
        The pairs, each once, with the defaults filled in.
    Raises:
        ExportError: a target or a precision is unknown, or something else does not fit; one line a form.
        MissingExtraError: it is one package alone that is missing.
    """
    forms: list[tuple[str, str]] = []
    problems: dict[str, PocketganError] = {}
    for name, asked in dict.fromkeys(targets):
        target, precision = find_target(name, asked)
        if (name, precision) in forms:
            continue
        forms.append((name, precision))
        try:
            target.check_installed()
            target.minimum_os(Form(precision, ios=ios, soc=soc))
            if precision in target.facts.calibrated:
                must_have_calibration(precision, calibrated)
            if in_this_process and name in _WORKERS_ONLY:
                raise ExportError(f"{name} is exported in a process of its own: {_WORKERS_ONLY[name]}")
        except (ExportError, MissingExtraError) as problem:
            problems[entry_id(name, precision)] = problem
    if problems:
        first = next(iter(problems.values()))
        if len(problems) == 1 and isinstance(first, MissingExtraError):
            raise first
        raise ExportError("\n".join(f"{form}: {problem}" for form, problem in problems.items()))
    return forms


def together(failures: Mapping[str, PocketganError], asked: int) -> PocketganError:
    """One error of several, by the names of what failed, and of their kind where they have one."""
    if len(failures) == 1:
        ((name, only),) = failures.items()
        return only if isinstance(only, MissingExtraError) else type(only)(f"{name}: {only}")
    kinds = {type(error) for error in failures.values()}
    kind = kinds.pop() if len(kinds) == 1 else ExportError
    lines = [f"  {name}: {error}" for name, error in failures.items()]
    return kind("\n".join([f"{len(failures)} of {asked} entries could not be written:", *lines]))
