"""Commands as a user gives them, in this process."""

import sys

import pytest

from pocketgan.cli import main


@pytest.fixture
def said(monkeypatch, capsys):
    """The exit code of `pocketgan ...`, and what it says on standard output and standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["pocketgan", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, *capsys.readouterr()

    return run
