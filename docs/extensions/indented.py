"""In docstrings, what is indented below a blank line is code, announced by ``::`` or not."""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", _as_code)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _as_code(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    lines[:] = announced(lines)


def announced(lines: list[str]) -> list[str]:
    """``lines`` with ``::`` before each indented block that follows a plain paragraph."""
    told: list[str] = []
    paragraph = ""
    for before, line in zip(["", *lines], lines, strict=False):
        begins = line.startswith("    ") and not before.strip()
        if begins and paragraph and not paragraph.endswith("::"):
            told += ["::", ""]
        if line.strip():
            is_plain = not line.startswith((" ", "-", "*", ".", "="))
            # Within a block nothing begins anew; after a list, indentation is the list's own.
            paragraph = line.rstrip() if is_plain else ""
        told.append(line)
    return told
