"""Options that several commands share, so that they read and behave the same everywhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pocketgan.bench.schema.words import ClockRegime, Provider
from pocketgan.files import file_to_write, folder_to_write

if TYPE_CHECKING:
    from pocketgan.bench.devices.web.options import WebOptions


def output_file(option: str) -> Callable[[str], Path]:
    """A parser for an option that names a file to write: what cannot be written is found before the command begins."""

    def parse(text: str) -> Path:
        return file_to_write(text, option)

    return parse


def output_folder(option: str) -> Callable[[str], Path]:
    """As `output_file`, for a folder."""

    def parse(text: str) -> Path:
        return folder_to_write(text, option)

    return parse


def output_bundle(text: str) -> Path:
    """As `output_file`, for a bundle: a .pgb file, or the folder of an unpacked one."""
    return file_to_write(text, "--out") if Path(text).suffix == ".pgb" else folder_to_write(text, "--out")


Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object on standard output.")]
PublicKeys = Annotated[
    list[Path] | None,
    typer.Option(
        "--public-key",
        metavar="KEY",
        help="Ed25519 public key that results files must be signed with; several may be given.",
    ),
]
OutFolder = Annotated[
    Path,
    typer.Option(
        "--out",
        parser=output_folder("--out"),
        metavar="DIR",
        help="Folder to write; it appears whole or not at all.",
    ),
]
OutFile = Annotated[
    Path,
    typer.Option(
        "--out", parser=output_file("--out"), metavar="FILE", help="File to write; it appears whole or not at all."
    ),
]
ProviderOf = Annotated[
    Provider,
    typer.Option("--provider", help="What a phone's runtime is to compute with.", show_default="the runtime's choice"),
]
ClockOf = Annotated[
    ClockRegime,
    typer.Option("--clock", help="pinned: a phone's clock is held (fixed-performance mode), for comparisons alone."),
]
EntryId = Annotated[str | None, typer.Option("--entry", help="One entry only, such as onnx-fp32.")]
# Of what measures and checks several; `Concept` of what draws one.
Concepts = Annotated[
    str | None,
    typer.Option("--concept", help="Of a pack: a concept, several with commas between, or all.", show_default=False),
]
Concept = Annotated[
    str | None, typer.Option("--concept", help="Of a pack: the concept to draw; its default otherwise.")
]
ViaOption = Annotated[
    Literal["app", "shell"] | None,
    typer.Option(
        "--via", help="What measures on a phone: its app, or the native runner in its shell.", show_default="app"
    ),
]
ApkFile = Annotated[
    Path | None,
    typer.Option("--apk", metavar="FILE", help="The app for phones, instead of the one that came with pocketgan."),
]
WebPhones = Annotated[
    int | None,
    typer.Option("--phones", min=1, help="With --device web: how many phones are measured.", show_default="1"),
]
WebTimeLimit = Annotated[
    str | None, typer.Option("--time-limit", help="With --device web: when it ends in any case.", show_default="1h")
]
WebAddress = Annotated[
    str | None,
    typer.Option("--address", help="With --device web: this computer's address in the phones' network.", metavar="IP"),
]
WebPort = Annotated[
    int | None, typer.Option("--port", min=0, max=65535, help="With --device web: its port.", show_default="8765")
]
WebPlainHttp = Annotated[
    bool,
    typer.Option("--plain-http", help="With --device web: without TLS, so without secrecy; one thread, no WebGPU."),
]
OrtWeb = Annotated[
    Path | None,
    typer.Option("--ort-web", metavar="DIR", help="With --device web: npm's onnxruntime-web, instead of fetching it."),
]
StoreAt = Annotated[
    str,
    typer.Option(
        "--store", envvar="POCKETGAN_STORE", help="SQLite file, or a database's URL such as postgresql://host/name."
    ),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a recipe's field: teacher.steps=50.")
]


def parse_duration(text: str, option: str) -> float:
    """`90s`, `10m`, `2h` or a bare number of seconds -> seconds.

    Raises:
        ResultsError: it is no duration; names the option.
    """
    from pocketgan.errors import ResultsError

    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if match is None:
        raise ResultsError(f"{option} is a time such as 90s, 10m or 1h, not {text!r}")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def _some_time(text: str, option: str) -> float:
    """As `parse_duration`, but not none.

    Raises:
        ResultsError: it is no duration, or 0; names the option.
    """
    from pocketgan.errors import ResultsError

    if not (seconds := parse_duration(text, option)):
        raise ResultsError(
            f"{option} {text} is no time in which anything is measured: leave it out, or name one such as 10m"
        )
    return seconds


def web_options(
    phones: int | None,
    time_limit: str | None,
    address: str | None,
    port: int | None,
    plain_http: bool,
    ort_web: Path | None,
) -> WebOptions | None:
    """Those of --device web; None where none was given."""
    from pocketgan.bench.devices.web.options import WebOptions

    told = {
        "phones": phones,
        "time_limit_s": None if time_limit is None else _some_time(time_limit, "--time-limit"),
        "address": address,
        "port": port,
        "plain_http": plain_http or None,
        "ort_web": ort_web,
    }
    given: dict[str, Any] = {name: value for name, value in told.items() if value is not None}
    return WebOptions(**given) if given else None


def parse_share(text: str, option: str) -> float:
    """`3%` -> 0.03.

    Raises:
        ResultsError: it is no percentage; names the option.
    """
    from pocketgan.errors import ResultsError

    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text.strip())
    if match is None:
        raise ResultsError(f"{option} is a percentage such as 3%, not {text!r}")
    return float(match[1]) / 100


def parse_size(text: str, option: str) -> tuple[int, int]:
    """`256x512` -> (height, width), in pixels.

    Raises:
        ModelError: it is no size; names the option.
    """
    from pocketgan.errors import ModelError

    match = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", text.strip().lower())
    if match is None:
        raise ModelError(f"{option} takes height x width such as 256x512, not {text!r}")
    return int(match[1]), int(match[2])


def parse_range(text: str) -> tuple[float, float]:
    """`0,255` -> (0.0, 255.0): what black and white are to a network.

    Raises:
        BundleError: it is no pair of numbers, the lower one first.
    """
    from pocketgan.errors import BundleError

    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = 0.0
    if not low < high:
        raise BundleError(f"--range is black and white with a comma between, such as 0,255, not {text!r}")
    return low, high
