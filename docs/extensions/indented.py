"""Read docstrings the way people write them.

An indented block after a blank line is code, with ``::`` before it or without. An underlined line
is a heading, which becomes a rubric: many modules on one page have a heading called Model.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", _process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _process(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    lines[:] = announced(rubrics(lines))


def rubrics(lines: list[str]) -> list[str]:
    """Turn each underlined line into a rubric."""
    result: list[str] = []
    for line in lines:
        text = result[-1] if result else ""
        if text.strip() and len(line) >= len(text) and set(line) in ({"-"}, {"="}):
            result[-1:] = [f".. rubric:: {text}", ""]
        else:
            result.append(line)
    return result


def announced(lines: list[str]) -> list[str]:
    """Put ``::`` before each indented block that follows a plain paragraph."""
    result: list[str] = []
    paragraph = ""
    for before, line in zip(["", *lines], lines, strict=False):
        begins = line.startswith("    ") and not before.strip()
        if begins and paragraph and not paragraph.endswith("::"):
            result += ["::", ""]
        if line.strip():
            is_plain = not line.startswith((" ", "-", "*", ".", "=", ":"))
            # Within a block nothing begins again; after a list, the list owns the indentation.
            paragraph = line.rstrip() if is_plain else ""
        result.append(line)
    return result
