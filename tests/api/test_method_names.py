"""Methods of the export's writers, checkpoint and destinations are named by what they do.

A past participle (`saved`, `passed_over`) does not say whether a method changes something or
returns it. One before a noun is an adjective (`expected_contents`), and one after ``is`` is a
question (`is_believed`); both are fine.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

EXPORT = Path(__file__).parents[2] / "zoho_async/export"
MODULES = (
    *(EXPORT / f"{name}.py" for name in ("part_begin", "part_end", "resource_store")),
    *(EXPORT / f"{name}.py" for name in ("write_queue", "writer")),
    *(EXPORT / "checkpoint").glob("*.py"),
    *(EXPORT / "destinations").rglob("*.py"),
    *(EXPORT / "details").glob("*.py"),
)
#: Words that end like participles and are verbs or nouns.
VERBS = {"embed", "exceed", "feed", "need", "proceed", "seed", "speed"}
#: Participles without the ending. Words that are also verbs ("read", "put", "find") are allowed.
IRREGULAR = {
    *("absent", "begun", "bound", "built", "done", "found", "given", "gone", "held", "kept"),
    *("known", "lost", "made", "met", "seen", "sent", "taken", "unseen", "written"),
}
#: Words that make no noun phrase of a participle.
PARTICLES = {"at", "by", "for", "from", "in", "instead", "of", "over", "to", "together", "up"}


def is_participle(name: str) -> bool:
    first, *rest = name.strip("_").split("_")
    participle = first in IRREGULAR or (first.endswith("ed") and first not in VERBS)
    return participle and (not rest or rest[0] in PARTICLES)


def defined_in(path: Path) -> Iterator[tuple[int, str]]:
    """The functions and methods that a module defines, with their lines."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name


def test_no_method_of_the_writers_is_named_by_a_past_participle() -> None:
    names = [(path, line, name) for path in MODULES for line, name in defined_in(path)]
    assert len(names) > 300
    found = [f"{path.name}:{line}: {name}" for path, line, name in names if is_participle(name)]
    assert not found, "\n".join(found)


def test_the_rule_recognizes_the_names_that_were_replaced() -> None:
    replaced = ("saved", "passed_over", "held", "done", "unseen", "_advanced", "_closed", "_lost")
    assert all(map(is_participle, replaced))
    chosen = ("write_pages", "read", "seed", "find_unseen", "is_believed", "expected_contents")
    assert not any(map(is_participle, chosen))
