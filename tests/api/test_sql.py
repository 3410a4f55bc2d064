"""SQL is written so that every supported Python accepts it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "zoho_async"
NUMBERED = re.compile(r"(?<![\w\\\[])\?\d")


def test_no_statement_numbers_its_placeholders() -> None:
    """sqlite3 warns of a sequence for ``?1`` since Python 3.12 and refuses it from 3.14 on."""
    assert NUMBERED.search("VALUES (?1)")
    found = [
        f"{path.name}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        if "sqlite" in (text := path.read_text("utf-8"))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and NUMBERED.search(node.value)
    ]
    assert found == []
