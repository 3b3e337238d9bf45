"""JSON Schema files of manifest, job, result and session, of their pydantic models: what the phone harnesses read.

python -m pocketgan.bench.schema.generate
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pocketgan.bench.schema.job import Job
from pocketgan.bench.schema.result import Result
from pocketgan.bench.schema.session import Session
from pocketgan.bundle.manifest import Manifest
from pocketgan.files import write_atomic

MODELS: dict[str, type[BaseModel]] = {"manifest": Manifest, "job": Job, "result": Result, "session": Session}


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of "manifest", "job", "result" or "session", format version 1."""
    generated = MODELS[name].model_json_schema(mode="validation")
    return {
        **generated,
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:pocketgan:schema:{name}:1",
        "title": f"pocketgan {name}",
    }


def schema_text(name: str) -> str:
    """The content of `<name>.schema.json`."""
    return json.dumps(schema(name), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> None:
    """Rewrite the schema files beside this module."""
    # An editable install shows this file through a link; the schema files belong beside the real one.
    folder = Path(__file__).resolve().parent
    for name in MODELS:
        write_atomic(folder / f"{name}.schema.json", schema_text(name))
        print(folder / f"{name}.schema.json")


if __name__ == "__main__":
    main()
