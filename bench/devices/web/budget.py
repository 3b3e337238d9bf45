"""What a page may send: what its Jobs can need, so that nothing it makes up fills disk or memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pocketgan.bench.schema.job import Job

# Ten minutes of a sustained run at the 60 frames a second that displays show, or fewer at more. A page ends a run that
# gives more than that by itself. In the memory of a host that is 17 MB.
MOST_SAMPLES = 600 * 60
# Of a frame or a state of the device, with the comma after it (92 where its stamps have 13 digits), and values in it.
_SAMPLE_BYTES, _SAMPLE_VALUES = 128, 6
# Of a Result without its samples: bytes; objects and lists; values.
_RECORD_BYTES, _RECORD_PARTS, _RECORD_VALUES = 1 << 16, 512, 2048
# Beside a Result for each Job: the last line, which each reload may write again.
_MORE_LINES = 64
# A page sends short lines in batches of 1 MiB; letters beyond ASCII take up to three bytes.
_BATCH_BYTES = 3 << 20
_LEFT_LINES, _LEFT_BYTES = 4096, 8 << 20


@dataclass(frozen=True)
class Budget:
    """What one page may send of one run.

    Attributes:
        lines, total_bytes: of all that it sends. samples: of one line: frames, and states of the device.
    """

    lines: int
    total_bytes: int
    samples: int

    @classmethod
    def of(cls, jobs: Sequence[Job]) -> Budget:
        """For the answers to these Jobs."""
        needed = [min(MOST_SAMPLES, job.iterations or MOST_SAMPLES) for job in jobs]
        lines = len(jobs) + _MORE_LINES
        return cls(lines, sum(map(_line_bytes, needed)) + _RECORD_BYTES, max(needed, default=0))

    @property
    def longest_line(self) -> int:
        """Bytes."""
        return _line_bytes(self.samples)

    @property
    def longest_body(self) -> int:
        """Bytes that it may send at once."""
        return max(self.longest_line, _BATCH_BYTES)

    def excess(self, line: bytes) -> str | None:
        """What a line has too much of, before anything reads it as JSON, whose shortest values take fifty times the
        memory of their text; None where it is as an honest one may be."""
        if len(line) > self.longest_line:
            return f"a line of {len(line):,} bytes, {self.longest_line:,} at most"
        # In text as well, such as a runtime's message; what an honest one holds there is far below what is allowed.
        if line.count(b"{") + line.count(b"[") > self.samples + _RECORD_PARTS:
            return f"a line of more than {self.samples:,} samples"
        if line.count(b",") > self.samples * _SAMPLE_VALUES + _RECORD_VALUES:
            return f"a line of more values than {self.samples:,} samples have"
        return None


# Of what a session that was cut left behind, whose Jobs are not known yet.
LEFT_BEHIND = Budget(_LEFT_LINES, _LEFT_BYTES, MOST_SAMPLES)


def _line_bytes(samples: int) -> int:
    return _RECORD_BYTES + samples * _SAMPLE_BYTES
