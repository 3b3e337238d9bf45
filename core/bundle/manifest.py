"""The manifest of a bundle: what a file set computes, how well, and every byte of it (format version 1).

1.1 adds `Entry.unchecked` and `GoldenSet.reference`, 1.2 `Manifest.teacher`, 1.3 `Manifest.concepts`,
`Manifest.default_concept` and `GoldenSet.inputs_of`.

The JSON Schema of the same shape is `bench/schema/manifest.schema.json`; the phone harnesses are tested against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

FORMAT_VERSION = "1.3"

Role = Literal["student", "teacher", "unpruned", "diffusion", "foreign"]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
# ASCII alone, so that Python, Kotlin and Swift agree on which names are equal, whatever the file system folds; no part
# begins with a dot or ends with a dot or a space, which file systems hide or strip.
_PART = r"/[A-Za-z0-9_]([A-Za-z0-9_.+@ -]*[A-Za-z0-9_+@-])?"
RelativePath = Annotated[str, Field(max_length=512, pattern=f"^(models|golden|LICENSES)({_PART})+$")]
# Int64 in Swift, Long in Kotlin.
Count = Annotated[int, Field(ge=0, le=(1 << 63) - 1)]
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Dimension = Annotated[int, Field(gt=0, le=1 << 20)]
Shape = Annotated[list[Dimension], Field(max_length=16)]


class Strict(BaseModel):
    """Immutable, and refuses fields that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class FileRecord(Strict):
    """One file of the bundle: its path inside, its size in bytes and its SHA-256."""

    path: RelativePath
    bytes: Count
    sha256: Sha256


class TensorSpec(Strict):
    """Contract of one input or output tensor.

    `value_range` is the closed interval of values that stand for black and white; `colour_space` is null where the
    tensor is no image.
    """

    name: str
    shape: Shape
    layout: Literal["NCHW", "NHWC"] | None
    dtype: Literal["float32", "float16", "uint8", "int32", "int64"]
    value_range: tuple[float, float] | None
    colour_space: Literal["RGB"] | None


class Component(Strict):
    """One file set that a runtime loads, and how often it runs per edit (`repeat`)."""

    name: Name
    entry_point: str
    files: list[FileRecord] = Field(min_length=1)
    inputs: list[TensorSpec] = Field(min_length=1)
    outputs: list[TensorSpec] = Field(min_length=1)
    repeat: int = Field(default=1, ge=1, le=1 << 20)


class Delegation(Strict):
    """How much of the graph the target's accelerator takes.

    `delegated_fraction` counts operator nodes, `subgraphs` the delegated pieces; `fallen` maps each operator that stays
    outside to how often it occurs.
    """

    delegated_fraction: float = Field(ge=0, le=1)
    subgraphs: Count
    fallen: dict[str, Count] = {}


class Parity(Strict):
    """Agreement with the float32 source module on the golden inputs; `psnr_db` is null where it is infinite.

    `max_abs_error` is in units of the output; `ssim` is null where the images are too small for it.
    """

    psnr_db: float | None
    max_abs_error: float = Field(ge=0)
    ssim: float | None = Field(default=None, ge=-1, le=1)
    floor_db: float
    runtime: str

    @property
    def passed(self) -> bool:
        return self.psnr_db is None or self.psnr_db >= self.floor_db


class Trial(Strict):
    """A file that was written and run while mixed precision was sought.

    `layers` says how many layers have each precision, `low_macs` which share of the MACs lies in layers below the
    highest.
    """

    layers: dict[str, Count]
    low_macs: float = Field(ge=0, le=1)
    bytes: Count
    psnr_db: float | None


class Entry(Strict):
    """One exported form. `id` is `<target>-<precision>`, with `-image` for pixels; the entry's name everywhere.

    `trade_off` holds what was tried for mixed precision, the most compressed file first; empty for other precisions.
    `unchecked` says why there is no `parity`: the file was not run where it was written.
    """

    id: Name
    target: str
    precision: str
    runtime: str
    runtime_version: str
    minimum_os: str | None = None
    golden: Name
    delegation: Delegation | None = None
    parity: Parity | None = None
    unchecked: str | None = None
    trade_off: list[Trial] = []
    components: list[Component] = Field(min_length=1)

    @property
    def bytes(self) -> int:
        """Size of all files of the entry."""
        return sum(file.bytes for component in self.components for file in component.files)


class DrawnEntry(Entry):
    """An entry of a pack as it draws one concept; nothing that a manifest holds.

    Entry point, golden set and parity are the concept's, and of the files those that it needs.

    Attributes:
        concept: its name.
        patch: file whose products are added to the weights of the entry point; None where the concept needs none.
        function: what the runtime calls in the entry point; None for what it calls by itself.
    """

    concept: Name
    patch: str | None = None
    function: str | None = None


class GoldenTensor(Strict):
    """A raw little-endian C-order tensor."""

    name: str
    dtype: Literal["float32", "float16", "uint8", "int32", "int64"]
    shape: Shape
    file: FileRecord


class GoldenSet(Strict):
    """Inputs and what should come of them, for one I/O contract: the float32 source module's outputs.

    `reference` says of a foreign model what computed them, independent of the runtime that is checked against them;
    null where nothing could but that runtime. It is null for models that pocketgan exports, too.
    `inputs_of` names the set whose inputs these outputs come of: a pack stores them once. `inputs` then holds no input
    but one tensor `sha256`, 32 bytes (uint8): the SHA-256 of that set's first input file, for readers of earlier minors
    want one.
    """

    id: Name
    reference: str | None = None
    inputs_of: Name | None = None
    inputs: list[GoldenTensor] = Field(min_length=1)
    outputs: list[GoldenTensor] = Field(min_length=1)


class ConceptForm(Strict):
    """How an entry of a pack draws one concept.

    Attributes:
        entry: the entry's id.
        way: "model": the runtime loads another file in place of the component's entry point, which names the weights
            that all concepts share. "patch": the entry point's file is copied and low-rank products are added to the
            weights in it (docs/bundle.md, "Patches"). "function": the runtime calls another function of the same file.
        name: a file's path inside the bundle, listed with the component's files; the function's name.
        golden: the golden set that holds what it should draw.
        parity, unchecked: as the entry's.
    """

    entry: Name
    way: Literal["model", "patch", "function"]
    name: Annotated[str, Field(min_length=1, max_length=512)]
    golden: Name
    parity: Parity | None = None
    unchecked: str | None = None


class Concept(Strict):
    """An effect of a pack: a base that was adapted by LoRA.

    Attributes:
        name: what `--concept` takes, within the pack.
        text: what one would say to get it; the network has it built in.
        adapter: SHA-256 of the adapter's file; null of a base without one.
        forms: by entry; none for the default concept, which the entries draw as they stand.
    """

    name: Name
    text: str
    adapter: Sha256 | None = None
    forms: list[ConceptForm] = []


class Cost(Strict):
    """Cost at batch 1: parameters, executed MACs, and MACs with transposed convolutions counted by output size."""

    params: Count
    macs: Count
    macs_by_output: Count


class Diffusion(Strict):
    """What an edit of a diffusion editor is made of: each step runs the denoiser once for each guidance pass.

    `weights` says where they come from; "random" ones give real times and meaningless pictures.
    """

    steps: int = Field(ge=1, le=1 << 20)
    guidance_passes: int = Field(ge=1, le=3)
    weights: str


class Origin(Strict):
    """Which model was the teacher, where it was not trained here.

    Attributes:
        kind: an ONNX file, a bundle, a function of the user's own, or a file of weights (a model file, a checkpoint).
        file: the file's name without its folder, or `package.module:function`.
        sha256: of the file alone, without what an ONNX file names; of a function's source file, null where it has none.
    """

    kind: Literal["onnx", "bundle", "function", "weights"]
    file: Annotated[str, Field(min_length=1, max_length=512)]
    sha256: Sha256 | None = None

    def __str__(self) -> str:
        return f"{self.file}, sha256 {self.sha256[:8]}…" if self.sha256 else self.file


class Manifest(Strict):
    """`manifest.json`. Its bytes' SHA-256 is the identity of the bundle.

    `teacher` says which model the student learned from, or of a teacher's own bundle which model that is, where it was
    not trained in the run.
    `concepts` are what a pack's entries can draw; where none is asked for they draw `default_concept`, one of them.
    Readers of earlier minors verify all files and know the default alone.
    """

    format_version: str = Field(default=FORMAT_VERSION, pattern=r"^1\.[0-9]{1,4}$")
    name: Name
    role: Role
    trained: bool
    spec: dict[str, Any] | None = None
    spec_digest: Sha256 | None = None
    cost: Cost | None = None
    quality: dict[str, float] = {}
    diffusion: Diffusion | None = None
    teacher: Origin | None = None
    entries: list[Entry] = Field(min_length=1)
    golden: list[GoldenSet] = []
    concepts: list[Concept] = []
    default_concept: Name | None = None
    licenses: list[FileRecord] = []
    created_with: dict[str, str] = {}

    @model_validator(mode="after")
    def _ids_are_unique_and_known(self) -> Manifest:
        if len({entry.id.lower() for entry in self.entries}) != len(self.entries):
            raise ValueError("two entries have the same id (upper and lower case count as equal)")
        golden = {golden.id for golden in self.golden}
        if len(golden) != len(self.golden):
            raise ValueError("two golden sets have the same id")
        for entry in self.entries:
            if entry.golden not in golden:
                raise ValueError(f"entry {entry.id} names golden set {entry.golden}, which is not there")
        return self

    @model_validator(mode="after")
    def _files_lie_where_they_belong(self) -> Manifest:
        for entry in self.entries:
            for component in entry.components:
                _must_lie_under(f"models/{entry.id}/", component.files)
        for golden in self.golden:
            _must_lie_under("golden/", [tensor.file for tensor in (*golden.inputs, *golden.outputs)])
        _must_lie_under("LICENSES/", self.licenses)
        _must_not_collide([file.path for file in self.files()])
        return self

    @model_validator(mode="after")
    def _concepts_are_what_the_entries_can_draw(self) -> Manifest:
        names = [concept.name for concept in self.concepts]
        if len({name.lower() for name in names}) != len(names):
            raise ValueError("two concepts have the same name (upper and lower case count as equal)")
        if (self.default_concept is None) != (not names):
            raise ValueError("concepts and default_concept go together")
        if names and self.default_concept not in names:
            raise ValueError(f"default_concept {self.default_concept} is not among the concepts")
        for concept in self.concepts:
            if bool(concept.forms) == (concept.name == self.default_concept):
                raise ValueError(f"concept {concept.name}: all but the default have forms, and it has none")
            self._check_forms(concept)
        golden = {one.id: one for one in self.golden}
        for one in self.golden:
            if one.inputs_of is not None and (one.inputs_of not in golden or golden[one.inputs_of].inputs_of):
                raise ValueError(f"golden set {one.id} takes its inputs of {one.inputs_of}, which has none of its own")
        return self

    def _check_forms(self, concept: Concept) -> None:
        entries, golden = {entry.id: entry for entry in self.entries}, {one.id for one in self.golden}
        if len({form.entry for form in concept.forms}) != len(concept.forms):
            raise ValueError(f"concept {concept.name} has two forms of one entry")
        for form in concept.forms:
            if form.entry not in entries or form.golden not in golden:
                raise ValueError(
                    f"concept {concept.name} names entry {form.entry} or golden set {form.golden}, no such"
                )
            files = {file.path for component in entries[form.entry].components for file in component.files}
            if form.way != "function" and form.name not in files:
                raise ValueError(f"concept {concept.name} names {form.name}, which is no file of entry {form.entry}")

    def files(self) -> list[FileRecord]:
        """Every file of the bundle but manifest.json and signature.json."""
        models = [file for entry in self.entries for component in entry.components for file in component.files]
        tensors = [tensor.file for golden in self.golden for tensor in (*golden.inputs, *golden.outputs)]
        return [*models, *tensors, *self.licenses]

    def has_reference(self, entry: Entry) -> bool:
        """Whether the entry's golden outputs come from something else than the runtime that is checked by them."""
        golden = next(one for one in self.golden if one.id == entry.golden)
        # A teacher that was given as a finished file is packed as foreign models are.
        packed = self.role == "foreign" or (self.role == "teacher" and self.teacher is not None)
        exported = not packed or entry.parity is not None or entry.unchecked is not None
        return exported or golden.reference is not None

    def must_meet_floors(self) -> bool:
        """Whether parity floors bind its entries: all but those of untrained generators of our own families."""
        return self.trained or self.spec is None

    def entry(self, entry_id: str, concept: str | None = None) -> Entry:
        """The entry with that id, of a pack as it draws the concept, or its default where None (see DrawnEntry).

        Raises:
            KeyError: there is no such entry, or it does not draw that concept; `Bundle.entry` says so to users.
        """
        entry = {entry.id: entry for entry in self.entries}[entry_id]
        wanted = concept or self.default_concept
        if wanted is None:
            return entry
        if wanted not in self.concepts_of(entry_id):
            raise KeyError(wanted)
        return _drawn(entry, wanted, self._forms(entry_id))

    def concepts_of(self, entry_id: str) -> list[str]:
        """Names of the concepts that an entry draws, the default first; none where the bundle is no pack."""
        others = [concept.name for concept in self.concepts if concept.name in self._forms(entry_id)]
        return [] if self.default_concept is None else [self.default_concept, *others]

    def golden_set(self, golden_id: str) -> GoldenSet:
        """The golden set with its inputs, wherever they stand (see GoldenSet.inputs_of); KeyError otherwise."""
        sets = {one.id: one for one in self.golden}
        found = sets[golden_id]
        if found.inputs_of is None:
            return found
        return found.model_copy(update={"inputs": sets[found.inputs_of].inputs, "inputs_of": None})

    def golden_files(self, golden_id: str) -> list[FileRecord]:
        """What must be there for a golden set to be read, the files that it lists itself among them."""
        listed = {one.id: one for one in self.golden}[golden_id]
        whole = self.golden_set(golden_id)
        tensors = [*whole.inputs, *(listed.inputs if listed.inputs_of else []), *whole.outputs]
        return [tensor.file for tensor in tensors]

    def _forms(self, entry_id: str) -> dict[str, ConceptForm]:
        """How an entry draws the concepts beside the default, by their names."""
        return {c.name: form for c in self.concepts for form in c.forms if form.entry == entry_id}


def added_bytes(manifest: Manifest, concept: str) -> dict[str, int]:
    """Bytes of the files that a concept has for itself, by the ids of the entries that draw it: 0 for a function of a
    shared file, and for the default, whose weights are the shared ones."""
    sizes = {}
    for entry in manifest.entries:
        if concept not in manifest.concepts_of(entry.id):
            continue
        files = {file.path: file.bytes for component in entry.components for file in component.files}
        forms = [
            form for one in manifest.concepts if one.name == concept for form in one.forms if form.entry == entry.id
        ]
        sizes[entry.id] = sum(files[form.name] for form in forms if form.way != "function")
    return sizes


def _drawn(entry: Entry, concept: str, forms: Mapping[str, ConceptForm]) -> DrawnEntry:
    form = forms.get(concept)
    own = {form.name} if form is not None and form.way != "function" else set()
    others = {other.name for other in forms.values() if other.way != "function"} - own
    components = [_of_concept(component, form, others) for component in entry.components]
    changed: dict[str, Any] = {"concept": concept, "components": components}
    if form is not None:
        changed |= {"golden": form.golden, "parity": form.parity, "unchecked": form.unchecked}
        changed |= {form.way: form.name} if form.way != "model" else {}
    return DrawnEntry(**{**dict(entry), **changed})


def _of_concept(component: Component, form: ConceptForm | None, others: set[str]) -> Component:
    """The component with the files that a concept needs, and its model in place of the entry point where it has one."""
    paths = {file.path for file in component.files}
    start = {path for path in paths if f"/{path}".endswith(f"/{component.entry_point}")}
    has_model = form is not None and form.way == "model" and form.name in paths
    idle = others | start if has_model else others - start
    changed: dict[str, Any] = {"files": [file for file in component.files if file.path not in idle]}
    if form is not None and has_model:
        changed["entry_point"] = form.name
    return component.model_copy(update=changed)


def _must_lie_under(prefix: str, files: list[FileRecord]) -> None:
    for file in files:
        if not file.path.startswith(prefix):
            raise ValueError(f"file {file.path} does not lie under {prefix}")


def _must_not_collide(paths: list[str]) -> None:
    """Raise ValueError where two paths would meet on a file system that ignores case, or a file is another's folder."""
    files: set[str] = set()
    folders: dict[str, str] = {}
    for path in paths:
        if path.lower() in files:
            raise ValueError(f"two files have the same path {path} (upper and lower case count as equal)")
        files.add(path.lower())
        parts = path.split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            if folders.setdefault(folder.lower(), folder) != folder:
                raise ValueError(f"folder {folder} is also written {folders[folder.lower()]}")
    for path in paths:
        if path.lower() in folders:
            raise ValueError(f"{path} is a file and a folder")
