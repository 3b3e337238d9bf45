"""Put onnxruntime-web into the next wheel: .venv/bin/python web_harness/release/into_wheel.py. `make wheel` runs it.

It goes to web_harness/runtime/, packed, with its licence files. Where it cannot be had, the wheel has none, and
pocketgan fetches it when somebody needs it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from pocketgan.bench.devices.web.runtime import VERSION, find_runtime
from pocketgan.errors import DeviceError

RUNTIME = Path(__file__).resolve().parents[1] / "runtime"


def main() -> None:
    shutil.rmtree(RUNTIME, ignore_errors=True)
    try:
        shutil.copytree(find_runtime().folder, RUNTIME)
    except DeviceError as problem:
        print(f"the wheel has no onnxruntime-web: {problem}")
        return
    size = sum(file.stat().st_size for file in RUNTIME.iterdir())
    print(f"the wheel has onnxruntime-web {VERSION}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
