"""A program that plays a session folder as FakePhone does, line by line: `python scripted_runner.py FOLDER PAUSE_S`.

Beside the folder, `measured` gets a line for every bundle that it measured.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from fake_phone import FakePhone, Time


def play(folder: Path, pause_s: float) -> None:
    """Append to results.jsonl, and go on after what it holds."""
    results = folder / "results.jsonl"
    phone = FakePhone(Time())
    phone.content = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path != results
    }
    phone.start()
    written = 0
    with results.open("ab", buffering=0) as file:
        while phone.alive():
            log = "".join(f"{name}\n" for name, *_ in phone.measured)
            with (folder.parent / "measured").open("a") as measured:
                measured.write(log)
            phone.measured.clear()
            content = phone.content.get("results.jsonl", b"")
            file.write(content[written:])
            written = len(content)
            time.sleep(pause_s)


if __name__ == "__main__":
    play(Path(sys.argv[1]), float(sys.argv[2]))
