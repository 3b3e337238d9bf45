"""What `--help` says: instant, and whole."""

import pytest
from typer.testing import CliRunner

from pocketgan.cli import app

GROUPS = ("recipe", "pairs", "bundle", "baseline", "store")


@pytest.mark.parametrize("group", [(), *((group,) for group in GROUPS)])
def test_every_command_is_told_in_one_whole_line_of_80_columns(group, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(app, [*group, "--help"]).output
    lines = shown[shown.index("Commands:") :].splitlines()[1:]
    assert lines
    assert all(len(line) <= 80 and line.endswith((".", ".).")) and not line.endswith("...") for line in lines), shown
