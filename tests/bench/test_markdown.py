"""Text of strangers stays text in Markdown."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketgan.bench.report.markdown import escaped, line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("onnxruntime 1.23.2", "onnxruntime 1.23.2"),
        ("<img src=x>", "&lt;img src=x&gt;"),
        ("a|b", "a\\|b"),
        ("@octocat", "@&#8203;octocat"),
        ("fixes #7", "fixes #&#8203;7"),
        ("GH-7", "GH&#8203;-7"),
        ("https://evil.example", "https&#8203;://evil.example"),
        ("www.evil.example", "www&#8203;.evil.example"),
        ("[x](y)", "\\[x\\](y)"),
        ("a\nb\x1b[0m", "a b \\[0m"),
        ("&lt;", "&amp;lt;"),
    ],
)
def test_marks_are_escaped(text: str, expected: str) -> None:
    assert escaped(text) == expected


@given(st.text())
def test_it_reads_as_it_was_and_is_one_line(text: str) -> None:
    found = escaped(text)
    assert not set("<>\n\r") & set(found)
    assert not re.search(r"[@#](?!&#8203;|8203;)", found)
    read = html.unescape(re.sub(r"\\([\\`*_~\[\]$|])", r"\1", found)).replace("\u200b", "")
    assert read == " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_a_row_has_as_many_cells_as_it_was_given(cells: list[str]) -> None:
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", line(cells))) == len(cells) + 1
