"""Results as a Parquet file, for data frames and SQL: one row a record, with the frames as a list of structs.

`record` holds the rest of it as JSON, so that nothing is lost on the way there and back; the other columns repeat what
people select by.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketgan.bench.journal import BundleRecord, line_of
from pocketgan.bench.schema.result import Result
from pocketgan.errors import ResultsError, require
from pocketgan.files import atomic_file

if TYPE_CHECKING:
    import pyarrow

FRAME_FIELDS = ("start_ns", "pre_ns", "inference_ns", "post_ns", "round", "end_ns", "capture_ns", "display_ns")


def write_parquet(path: Path, records: Iterable[tuple[str, BundleRecord | Result]]) -> None:
    """Write records, each with its commit ("" where it has none), whole or not at all.

    Raises:
        MissingExtraError: pyarrow is not installed.
        StorageError: the disk is full or refuses.
    """
    require("store", "pyarrow")
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.Table.from_pylist([_row(commit, record) for commit, record in records], schema=_schema())
    with atomic_file(path) as temporary:
        parquet.write_table(table, temporary, compression="zstd")


def read_parquet(path: Path) -> list[tuple[str, BundleRecord | Result]]:
    """The inverse of write_parquet.

    Raises:
        MissingExtraError: pyarrow is not installed.
        ResultsError: the file is missing, broken, or another's.
    """
    require("store", "pyarrow")
    import pyarrow
    from pyarrow import parquet

    try:
        rows = parquet.read_table(path, columns=["commit", "kind", "record", "frames"]).to_pylist()
        return [(row["commit"], _record(row)) for row in rows]
    except OSError as error:
        raise ResultsError(f"{path}: cannot read results: {error.strerror or error}") from error
    except (pyarrow.ArrowException, KeyError, ValueError) as error:
        raise ResultsError(f"{path}: is no Parquet file of results: {str(error).splitlines()[0]}") from error


def _schema() -> pyarrow.Schema:
    import pyarrow

    numbers = [(name, pyarrow.int64()) for name in FRAME_FIELDS]
    frame = pyarrow.struct([*numbers, ("display_estimated", pyarrow.bool_())])
    texts = (
        "commit",
        "kind",
        "bundle",
        "digest",
        "role",
        "entry",
        "concept",
        "device",
        "runtime",
        "mode",
        "session",
        "started_at",
    )
    return pyarrow.schema(
        [
            *((name, pyarrow.string()) for name in texts),
            ("threads", pyarrow.int32()),
            ("frames", pyarrow.list_(frame)),
            ("record", pyarrow.string()),
        ]
    )


def _row(commit: str, record: BundleRecord | Result) -> dict[str, Any]:
    if isinstance(record, BundleRecord):
        manifest = record.manifest
        return {
            "commit": commit,
            "kind": "bundle",
            "bundle": manifest.name,
            "digest": record.digest,
            "role": manifest.role,
            "record": line_of(record).decode(),
        }
    fields = record.model_dump(mode="json")
    frames = fields.pop("frames")
    return {
        "commit": commit,
        "kind": "result",
        "bundle": record.bundle_name,
        "digest": record.job.bundle,
        "entry": record.job.entry,
        "concept": record.job.concept,
        "device": record.device.name,
        "runtime": record.runtime,
        "mode": record.job.mode,
        "session": record.session,
        "started_at": record.started_at,
        "threads": record.job.threads,
        "frames": frames,
        "record": json.dumps(fields),
    }


def _record(row: dict[str, Any]) -> BundleRecord | Result:
    if row["kind"] == "bundle":
        return BundleRecord.model_validate_json(row["record"])
    return Result.model_validate({**json.loads(row["record"]), "frames": row["frames"]})
