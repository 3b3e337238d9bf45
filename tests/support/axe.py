"""axe-core, which finds what keeps people out of a page: what it says of one that a browser shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

AXE = Path(__file__).resolve().parents[2] / "build" / "web" / "node_modules" / "axe-core" / "axe.min.js"
needs_axe = pytest.mark.skipif(not AXE.is_file(), reason="needs axe-core: make web-tools")


def violations(page: Any, *rules: str) -> list[str]:
    """Each of these rules (of all but experimental ones where none is named) that the page breaks, by what and why."""
    if not page.evaluate("'axe' in window"):
        # By the debugger: the page's policy takes no script of elsewhere.
        page.evaluate(f"() => {{ {AXE.read_text('utf-8')} }}")
    options = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
    found = page.evaluate("(options) => axe.run(document, options).then((found) => found.violations)", options)
    return [f"{rule['id']}: {node['html']} ({node['failureSummary']})" for rule in found for node in rule["nodes"]]
