"""Results over time: SQLite here, or a database that a team shares (`--store postgresql://...`), through SQLAlchemy.

Every Result is kept whole, as the JSON line of a results file, beside the commit that it belongs to. A Result is known
by the digest of that line, so that adding a file again adds nothing, and each file is added whole or not at all.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from pocketgan.bench.journal import BundleRecord, Results, line_of, read_results
from pocketgan.bench.naming import concept_of
from pocketgan.bench.schema.result import Result
from pocketgan.bench.statistics import frame_times, percentile
from pocketgan.bench.ways import ways
from pocketgan.errors import ResultsError, require

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, MetaData

LAST_GREEN = "last-green"
# Fewer letters of a commit name too many.
SHORTEST_COMMIT = 4


@dataclass(frozen=True)
class Point:
    """One measurement in the history of an entry: median frame time in milliseconds."""

    commit: str
    median_ms: float


@dataclass(frozen=True)
class Series:
    """The history of one entry (and concept of a pack) under the same circumstances, oldest commit first."""

    bundle: str
    entry: str
    concept: str | None
    device: str
    mode: str
    threads: int
    points: tuple[Point, ...]


class Store:
    """Results by commit; use it in a `with` statement.

    Args:
        where: path of an SQLite file, or a URL of SQLAlchemy's.
        create: make the file if it is not there.
    Raises:
        MissingExtraError: SQLAlchemy is not installed.
        ResultsError: the database cannot be opened, or is another's, or there is none.
    """

    def __init__(self, where: str, create: bool = True) -> None:
        require("store", "sqlalchemy")
        from sqlalchemy import create_engine
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

        self.where = where
        if not create and "://" not in where and not Path(where).exists():
            raise ResultsError(
                f"there is no store {where}; begin one: pocketgan store add results.jsonl --store {where}"
            )
        try:
            self._engine: Engine = create_engine(where if "://" in where else f"sqlite:///{where}")
            self._tables = _tables()
            self._tables.create_all(self._engine)
            self._add_columns()
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            raise ResultsError(f"--store {where}: {error}") from error
        except SQLAlchemyError as error:
            raise ResultsError(f"{where}: cannot be used as a store: {_cause(error)}") from error

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.dispose()

    def _add_columns(self) -> None:
        """What stores of earlier versions lack; those versions leave it alone."""
        from sqlalchemy import inspect, text

        there = {column["name"] for column in inspect(self._engine).get_columns("results")}
        if "concept" not in there:
            with self._engine.begin() as connection:
                connection.execute(text("ALTER TABLE results ADD COLUMN concept VARCHAR(128)"))

    def add(self, files: Sequence[Path], commit: str) -> tuple[int, int]:
        """Add results files under a commit, together or not at all.

        Returns:
            How many results were added, and how many were there already.
        Raises:
            ResultsError: a file is broken or foreign, or the database refuses.
        """
        return self.add_results(read_results(files), commit)

    def add_results(self, results: Results, commit: str) -> tuple[int, int]:
        """The same with results that were read."""
        stray = next((result for result in results.results if result.job.bundle not in results.bundles), None)
        if stray is not None:
            raise ResultsError(f"a result of {stray.bundle_name} ({stray.job.bundle[:12]}) has no bundle record")
        added = 0
        with self._begin() as connection:
            place = self._commit(connection, commit)
            for record in results.bundles.values():
                self._add_bundle(connection, record)
            for result in results.results:
                concept = concept_of(result.job, results.bundles[result.job.bundle].manifest)
                added += self._add_result(connection, result, place, concept)
        return added, len(results.results) - added

    def results(self, reference: str) -> Results:
        """What a commit, the start of one, or a tag names.

        Raises:
            ResultsError: the store knows no such commit, or several.
        """
        from sqlalchemy import select

        runs, bundles = self._tables.tables["results"], self._tables.tables["bundles"]
        results = Results()
        with self._begin() as connection:
            place = self._place(connection, reference)
            rows = connection.execute(select(runs).where(runs.c.commit_id == place).order_by(runs.c.id)).all()
            for digest in dict.fromkeys(row.bundle_digest for row in rows):
                line = connection.execute(select(bundles.c.record).where(bundles.c.digest == digest)).scalar_one()
                results.add(BundleRecord.model_validate_json(line))
            for row in rows:
                results.add(Result.model_validate_json(row.record))
        return results

    def everything(self) -> list[tuple[str, BundleRecord | Result]]:
        """Every record with its commit, bundles first, in the order they were added."""
        from sqlalchemy import select

        commits, runs, bundles = (self._tables.tables[name] for name in ("commits", "results", "bundles"))
        with self._begin() as connection:
            records: list[tuple[str, BundleRecord | Result]] = [
                ("", BundleRecord.model_validate_json(row.record))
                for row in connection.execute(select(bundles).order_by(bundles.c.id))
            ]
            query = select(commits.c.name, runs.c.record).join_from(runs, commits).order_by(runs.c.id)
            records += [(row.name, Result.model_validate_json(row.record)) for row in connection.execute(query)]
        return records

    def tag(self, name: str, reference: str) -> None:
        """Let a tag name what `reference` names, whatever it named before.

        Raises:
            ResultsError: the store knows no such commit.
        """
        from sqlalchemy import delete, insert

        tags = self._tables.tables["tags"]
        with self._begin() as connection:
            place = self._place(connection, reference)
            connection.execute(delete(tags).where(tags.c.name == name))
            connection.execute(insert(tags).values(name=name, commit_id=place))

    def history(self, bundle: str | None = None, entry: str | None = None, concept: str | None = None) -> list[Series]:
        """Median frame times over commits, in the order in which these were first added. Of several sessions of a
        commit the latest counts; the median is that of its runs' medians."""
        from sqlalchemy import select

        commits, runs = self._tables.tables["commits"], self._tables.tables["results"]
        query = (
            select(commits.c.name, runs)
            .join_from(runs, commits)
            .where(runs.c.median_ms.is_not(None))
            .order_by(commits.c.id, runs.c.id)
        )
        points_of_series: dict[tuple[str, str, str | None, str, str, int], dict[str, tuple[str, list[float]]]] = {}
        with self._begin() as connection:
            for row in connection.execute(query):
                asked = ((bundle, row.bundle_name), (entry, row.entry), (concept, row.concept))
                if any(wanted not in (None, there) for wanted, there in asked):
                    continue
                key = (row.bundle_name, row.entry, row.concept, row.device, row.mode, row.threads)
                points = points_of_series.setdefault(key, {})
                session, medians = points.get(row.name, (row.session, []))
                points[row.name] = (row.session, [*(medians if session == row.session else []), row.median_ms])
        return [
            Series(*key, points=tuple(Point(commit, median(medians)) for commit, (_, medians) in points.items()))
            for key, points in points_of_series.items()
        ]

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise ResultsError(f"{self.where}: the store refuses: {_cause(error)}") from error

    def _commit(self, connection: Connection, name: str) -> int:
        from sqlalchemy import insert, select

        commits = self._tables.tables["commits"]
        number = connection.execute(select(commits.c.id).where(commits.c.name == name)).scalar()
        if number is None:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            made = connection.execute(insert(commits).values(name=name, added_at=now))
            number = made.inserted_primary_key[0] if made.inserted_primary_key else None
        assert number is not None
        return int(number)

    def _place(self, connection: Connection, reference: str) -> int:
        from sqlalchemy import select

        tags, commits = self._tables.tables["tags"], self._tables.tables["commits"]
        tagged = connection.execute(select(tags.c.commit_id).where(tags.c.name == reference)).scalar()
        if tagged is not None:
            return int(tagged)
        for name in dict.fromkeys([reference, resolved(reference)]):
            rows = connection.execute(select(commits)).all()
            exact = [row.id for row in rows if row.name == name]
            begun = [row.id for row in rows if len(name) >= SHORTEST_COMMIT and row.name.startswith(name)]
            if exact or len(begun) == 1:
                return int((exact or begun)[0])
            if begun:
                raise ResultsError(f"{self.where}: several commits begin with {name}; give more of its letters")
        names = [row.name[:12] for row in connection.execute(select(commits).order_by(commits.c.id.desc()).limit(5))]
        present = f"the latest are {', '.join(names)}" if names else "it is empty"
        raise ResultsError(f"{self.where} knows no commit or tag {reference}; {present}")

    def _add_bundle(self, connection: Connection, record: BundleRecord) -> None:
        from sqlalchemy import insert, select

        bundles = self._tables.tables["bundles"]
        if connection.execute(select(bundles.c.id).where(bundles.c.digest == record.digest)).scalar() is None:
            name = record.manifest.name
            connection.execute(insert(bundles).values(digest=record.digest, name=name, record=line_of(record).decode()))

    def _add_result(self, connection: Connection, result: Result, place: int, concept: str | None) -> bool:
        from sqlalchemy import insert, select

        runs = self._tables.tables["results"]
        digest = hashlib.sha256(line_of(result)).hexdigest()
        if connection.execute(select(runs.c.id).where(runs.c.digest == digest)).scalar() is not None:
            return False
        connection.execute(
            insert(runs).values(
                digest=digest,
                commit_id=place,
                bundle_digest=result.job.bundle,
                bundle_name=result.bundle_name,
                entry=result.job.entry,
                concept=concept,
                device=", ".join([f"{result.device.name} {result.device.model}", *ways(result.job)]),
                mode=result.job.mode,
                threads=result.job.threads,
                session=result.session,
                started_at=result.started_at,
                median_ms=_median_ms(result),
                record=result.model_dump_json(),
            )
        )
        return True


def resolved(reference: str) -> str:
    """The commit that git calls so in this folder, or the reference itself."""
    try:
        command = ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{reference}^{{commit}}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return reference
    return done.stdout.strip() if done.returncode == 0 else reference


def current_commit() -> str:
    """The commit of this folder.

    Raises:
        ResultsError: it is in no git repository.
    """
    commit = resolved("HEAD")
    if commit == "HEAD":
        raise ResultsError("this folder is in no git repository; name the commit: --commit SHA")
    return commit


def _tables() -> MetaData:
    from sqlalchemy import Column, Float, ForeignKey, Integer, MetaData, String, Table, Text

    metadata = MetaData()
    Table(
        "commits",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("name", String(128), unique=True, nullable=False),
        Column("added_at", String(32), nullable=False),
    )
    Table(
        "tags",
        metadata,
        Column("name", String(128), primary_key=True),
        Column("commit_id", ForeignKey("commits.id"), nullable=False),
    )
    Table(
        "bundles",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("digest", String(64), unique=True, nullable=False),
        Column("name", String(128), nullable=False),
        Column("record", Text, nullable=False),
    )
    Table(
        "results",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("digest", String(64), unique=True, nullable=False),
        Column("commit_id", ForeignKey("commits.id"), nullable=False, index=True),
        Column("bundle_digest", ForeignKey("bundles.digest"), nullable=False),
        Column("bundle_name", String(128), nullable=False, index=True),
        Column("entry", String(128), nullable=False),
        Column("concept", String(128)),
        Column("device", String(256), nullable=False),
        Column("mode", String(16), nullable=False),
        Column("threads", Integer, nullable=False),
        Column("session", String(128), nullable=False),
        Column("started_at", String(32), nullable=False),
        Column("median_ms", Float),
        Column("record", Text, nullable=False),
    )
    return metadata


def _median_ms(result: Result) -> float | None:
    """None where it is no performance number."""
    times = [] if result.device.simulated else frame_times(result.frames)
    return percentile(times, 50) / 1e6 if times else None


def _cause(error: Exception) -> str:
    """The database's own words."""
    return str(getattr(error, "orig", None) or error).splitlines()[0]
