"""What `--help` says: instant, and whole."""

import pytest
from typer.testing import CliRunner

from pocketgan import console
from pocketgan.cli import app

GROUPS = ("recipe", "pairs", "bundle", "baseline", "store")


@pytest.mark.parametrize("group", [(), *((group,) for group in GROUPS)])
def test_every_command_is_told_in_one_whole_line_of_80_columns(group, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(app, [*group, "--help"]).output
    lines = shown[shown.index("Commands:") :].splitlines()[1:]
    assert lines
    assert all(len(line) <= 80 and line.endswith((".", ".).")) and not line.endswith("...") for line in lines), shown


@pytest.mark.parametrize("group", [(), *((group,) for group in GROUPS)])
def test_a_command_alone_shows_its_help_and_nothing_else(group, said):
    code, out, alone = said(*group)
    assert (code, out) == (2, "")
    _, asked, _ = said(*group, "--help")
    assert alone.strip() == asked.strip()


@pytest.mark.parametrize("command", [(), ("bench",)])
def test_help_says_that_this_computer_is_no_phone(command, said):
    assert "no phone" in " ".join(said(*command, "--help")[1].split())


def test_a_table_wider_than_the_terminal_is_told_cell_by_cell(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    shown = console.table(("entry", "runtime"), [("onnx-fp32", "ONNX Runtime"), ("torch-fp32", "PyTorch")])
    assert shown.splitlines() == [
        "entry    onnx-fp32",
        "runtime  ONNX Runtime",
        "",
        "entry    torch-fp32",
        "runtime  PyTorch",
    ]
    monkeypatch.setenv("COLUMNS", "80")
    assert len(console.table(("entry",), [("onnx-fp32",)]).splitlines()) == 3
