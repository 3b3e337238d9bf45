"""E2GAN's concept factory: one base, many concepts, each adapted by a task of its own (`parallel.py`).

DIR/NAME.safetensors      each adapter, as soon as it is there
DIR/concepts.json         all of them (`adapter_set.py`)
DIR/.work/                finished results, which are never made again, and what killed trainings go on from
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pocketgan import console
from pocketgan.errors import ModelError, require
from pocketgan.files import sha256_file, write_atomic
from pocketgan.training.adapter import (
    Concept,
    Ranks,
    adapted_layers,
    check_fits,
    trained_parameters,
    trained_share,
    weights_digest,
)
from pocketgan.training.adapter_files import read_adapter
from pocketgan.training.adapter_set import (
    AdaptedConceptRecord,
    AdapterFile,
    AdapterSet,
    EncoderRecord,
    Figures,
    OldConcept,
    read_adapter_set,
)
from pocketgan.training.adapting import AdaptOptions, adapt_folder
from pocketgan.training.base_and_pairs import spec_at
from pocketgan.training.forgetting import OldConcepts, forgetting_task, look_back, old_concepts_of
from pocketgan.training.generators.files import LoadedGenerator, load_generator
from pocketgan.training.generators.spec import GeneratorSpec
from pocketgan.training.parallel import Outcome, Pool, Product, Task
from pocketgan.training.task_replies import ReplyError
from pocketgan.training.task_work import work_folder
from pocketgan.training.text.concept import check_encoder
from pocketgan.training.text.encoder import TextEncoder
from pocketgan.training.text.precomputed import PrecomputedText, write_features
from pocketgan.training.wanted_concepts import WantedConcept

VERSION = "adapt-1"
WORK = ".work"
_ADAPTER = "adapter.safetensors"
_HEADER = 64 << 10  # of a safetensors file: names, shapes, metadata


@dataclass(frozen=True)
class ConceptOutcome:
    """How a concept of the list ended.

    Attributes:
        state: done now, kept from an earlier run, or failed.
        seconds: that it was worked on, then or now.
        error: the line that says why it failed, or why the old concepts could not be looked at; empty otherwise.
        record: what `concepts.json` says of it; None where it failed.
    """

    name: str
    state: Literal["done", "kept", "failed"]
    seconds: float
    error: str = ""
    record: AdaptedConceptRecord | None = None

    def to_json(self) -> dict[str, Any]:
        told = {"name": self.name, "state": self.state, "seconds": self.seconds, "error": self.error or None}
        return told if self.record is None else {**told, **self.record.model_dump(mode="json", exclude={"name"})}


@dataclass(frozen=True)
class AdaptedConcepts:
    """What `adapt_concepts` did.

    Attributes:
        folder: with `concepts.json` and the adapters.
        base_digest: of the base's weights.
        concepts: in the order of the list.
    """

    folder: Path
    base_digest: str
    concepts: tuple[ConceptOutcome, ...]

    @property
    def ok(self) -> bool:
        """Whether every concept was learnt, and the old ones were looked at where that was asked."""
        return not any(one.error for one in self.concepts)

    def to_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "out": str(self.folder),
            "base_digest": self.base_digest,
            "concepts": [one.to_json() for one in self.concepts],
        }


def adapt_concepts(
    base: Path,
    wanted: Sequence[WantedConcept],
    encoder: TextEncoder,
    out: Path,
    pool: Pool,
    *,
    size: tuple[int, int] | None = None,
    old: OldConcepts | None = None,
) -> AdaptedConcepts:
    """Adapt a base to every concept of a list and look at what the base still knows of its own.

    The same call goes on after a kill and makes nothing again that is finished; a concept whose text, pairs or settings
    changed is learnt anew, alone. An adapter equals that of `adapt_folder` with the same arguments and threads.

    Args:
        out: the folder of the adapters.
        size: (height, width) in pixels that is trained at; the base's own where None.
        old: the concepts that the base was trained on, to be looked at with every new adapter.
    Raises:
        PocketganError: something that concerns all concepts cannot be used. What goes wrong with one is its outcome's
            `error`.
    """
    require("adapt", "peft")
    loaded = load_generator(base)
    spec = spec_at(loaded.spec, size, str(base))
    adapted_layers(loaded.module, loaded.spec)
    check_encoder(loaded.metadata, encoder.identity, "the base")
    tokens = encoder.encode([one.text for one in wanted])
    jobs = {
        one.name: _Job(one, Concept(one.name, one.text, encoder.identity, row), spec)
        for one, row in zip(wanted, tokens, strict=True)
    }
    looked = None if old is None else old_concepts_of(old, encoder, out / WORK, (spec.height, spec.width))
    for job in jobs.values():
        text = job.concept.text
        write_features(job.features(out), [text], job.concept.tokens[None], encoder.identity)
    accept = _Acceptance(loaded, jobs)

    def publish(outcome: Outcome) -> None:
        if outcome.ok:
            _publish(outcome.files[_ADAPTER], out / f"{outcome.name}.safetensors")

    learnt = pool.map(
        adapt_concept,
        {name: job.task(base, out) for name, job in jobs.items()},
        out / WORK,
        version=VERSION,
        accept=accept,
        largest=max(job.largest for job in jobs.values()),
        label="concept",
        ended_one=publish,
    )
    for outcome in learnt.values():
        publish(outcome)
    remembered: Mapping[str, Outcome] = {}
    if looked is not None:
        made = {name: outcome.files[_ADAPTER] for name, outcome in learnt.items() if outcome.ok}
        tasks = {name: forgetting_task(looked, base, adapter) for name, adapter in made.items()}
        remembered = look_back(tasks, looked, out / WORK, pool)
    outcomes = tuple(_outcome(jobs[one.name], learnt[one.name], remembered.get(one.name), out) for one in wanted)
    _tell_of_others(out, outcomes)
    digest = weights_digest(loaded.module)
    AdapterSet(
        base_digest=digest,
        spec_digest=loaded.spec.digest,
        text_encoder=EncoderRecord(name=encoder.identity.name, digest=encoder.identity.digest),
        concepts=[one.record for one in outcomes if one.record is not None],
    ).write(out)
    return AdaptedConcepts(out, digest, outcomes)


def adapt_concept(task: Task, seed: int) -> Product:
    """The task of a worker: what a folder of pairs makes of the base.

    The seed is that of the concept's own settings, so that the adapter is the one that a single call would give.
    """
    told = task.arguments
    features = PrecomputedText(task.paths["text"])
    concept = Concept(told["concept"], told["text"], features.identity, features.encode([told["text"]])[0])
    settings = {**told["options"], "ranks": Ranks(*told["options"]["ranks"]), "betas": tuple(told["options"]["betas"])}
    options = AdaptOptions(**settings)
    with work_folder(task) as folder:
        out = folder / _ADAPTER
        found = adapt_folder(
            task.paths["base"],
            task.paths["pairs"],
            concept,
            options,
            out,
            size=tuple(told["size"]),
            direction=told["direction"],
            only=told["photos"],
        )
        data = out.read_bytes()
    return Product({"images": found.images, "l1": found.l1, "identity_l1": found.identity_l1}, {_ADAPTER: data})


@dataclass(frozen=True)
class _Job:
    wanted: WantedConcept
    concept: Concept
    spec: GeneratorSpec

    @property
    def ranks(self) -> Ranks:
        return self.wanted.options.ranks_for(self.spec)

    @property
    def largest(self) -> int:
        """Bytes of the adapter's file at most."""
        return 4 * trained_parameters(self.spec, self.ranks) + 2 * self.concept.tokens.numel() + _HEADER

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides about the adapter, beside base, pairs and text."""
        options = asdict(self.wanted.options)
        del options["checkpoint_every"]
        return {
            **options,
            "ranks": list(self.ranks.to_json().values()),
            "betas": list(self.wanted.options.betas),
            "direction": self.wanted.direction,
            "size": [self.spec.height, self.spec.width],
            "photos": None if self.wanted.photos is None else list(self.wanted.photos),
        }

    def features(self, out: Path) -> Path:
        name = hashlib.sha256(self.concept.text.encode()).hexdigest()
        return out / WORK / "texts" / f"{name}.safetensors"

    def task(self, base: Path, out: Path) -> Task:
        options = self.settings
        arguments = {
            "concept": self.concept.name,
            "text": self.concept.text,
            "direction": options.pop("direction"),
            "size": options.pop("size"),
            "photos": options.pop("photos"),
            "options": options,
        }
        return Task(arguments, {"base": base, "pairs": self.wanted.data, "text": self.features(out)})


class _Value(BaseModel):
    """What a worker says beside the adapter."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    images: Annotated[int, Field(ge=1)]
    l1: Annotated[float, Field(ge=0)]
    identity_l1: Annotated[float, Field(ge=0)]


class _Acceptance:
    """Whether what a worker gave back is the adapter that was asked for: of this base, these ranks and this text."""

    def __init__(self, base: LoadedGenerator, jobs: Mapping[str, _Job]) -> None:
        self._base = base
        self._jobs = jobs

    def __call__(self, task: Task, product: Product) -> None:
        job = self._jobs[task.arguments["concept"]]
        try:
            _Value.model_validate(product.value)
        except ValidationError as error:
            raise ReplyError(f"its figures cannot be used: {error.errors()[0]['msg']}") from error
        if list(product.files) != [_ADAPTER]:
            raise ReplyError(f"it gave back the files {', '.join(product.files) or 'none'}; wanted {_ADAPTER}")
        data = product.files[_ADAPTER]
        if len(data) > job.largest:
            raise ReplyError(f"its adapter has {len(data):,} bytes; one of its ranks has {job.largest:,} at most")
        adapter = read_adapter(data, f"the adapter of {job.concept.name}")
        check_fits(adapter, self._base)
        found, asked = adapter.concept, job.concept
        same_text = (found.name, found.text, found.encoder.digest) == (asked.name, asked.text, asked.encoder.digest)
        if adapter.ranks != job.ranks or not same_text or not found.tokens.equal(asked.tokens):
            raise ReplyError("its adapter is of other ranks or another text than those that were asked for")


def _publish(made: Path, path: Path) -> None:
    if not path.is_file() or sha256_file(path) != sha256_file(made):
        write_atomic(path, made.read_bytes())


def _outcome(job: _Job, learnt: Outcome, remembered: Outcome | None, out: Path) -> ConceptOutcome:
    name = job.wanted.name
    if not learnt.ok:
        return ConceptOutcome(name, "failed", learnt.seconds, learnt.error)
    file = out / f"{name}.safetensors"
    value = _Value.model_validate(dict(learnt.value))
    record = AdaptedConceptRecord(
        name=name,
        text=job.concept.text,
        adapter=AdapterFile(file=file.name, sha256=sha256_file(file), bytes=file.stat().st_size),
        settings=job.settings,
        figures=Figures(
            images=value.images,
            trained_parameters=trained_parameters(job.spec, job.ranks),
            trained_share=trained_share(job.spec, job.ranks),
            l1=value.l1,
            identity_l1=value.identity_l1,
            seconds=learnt.seconds,
        ),
        old=None if remembered is None or not remembered.ok else _old(remembered),
    )
    error = "" if remembered is None or remembered.ok else f"its old concepts were not looked at: {remembered.error}"
    return ConceptOutcome(name, "kept" if learnt.kept else "done", learnt.seconds, error, record)


def _old(remembered: Outcome) -> list[OldConcept]:
    return [OldConcept.model_validate(one) for one in remembered.value["old"]]


def _tell_of_others(out: Path, outcomes: Sequence[ConceptOutcome]) -> None:
    """Adapters of an earlier list stay, and are in no pack; a failed concept's is of other settings."""
    try:
        before = [one.adapter.file for one in read_adapter_set(out).concepts]
    except ModelError:
        return
    listed = {f"{one.name}.safetensors" for one in outcomes if one.record is not None}
    others = [file for file in before if file not in listed and (out / file).is_file()]
    if others:
        console.note(f"left in {out} from an earlier list, and not named by concepts.json: {', '.join(others)}")
