"""The words of this project's first dialect do not come back.

Read are docstrings, comments and messages of the package, its documentation, and the docstrings of
tests.
"""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

import pytest

from tests.support import plain_english
from tests.support.plain_english import banned_in

ROOT = Path(__file__).parents[2]
#: Files with banned words as data.
EXEMPT = {Path(__file__), Path(plain_english.__file__)}
#: A line of docs/reliability.md that shows changed code.
CODE_LINE = re.compile(r"^- `zoho_async/.*$", re.MULTILINE)
GENERATED = {"books", "invoice", "billing", "inventory", "spec"}


def sources() -> list[Path]:
    package = [
        path
        for path in (ROOT / "zoho_async").rglob("*.py")
        if not GENERATED & set(path.relative_to(ROOT / "zoho_async").parts[:-1])
    ]
    return sorted([*package, *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")])


def prose(path: Path) -> list[tuple[int, str]]:
    """The strings and comments of a module, with their line numbers."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline)
    kinds = {tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", -1)}
    return [(token.start[0], token.string) for token in tokens if token.type in kinds]


@pytest.mark.parametrize("folder", ["zoho_async", "tests", "benchmarks"])
def test_code_speaks_plain_english(folder: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {word}"
        for path in sources()
        if path.relative_to(ROOT).parts[0] == folder and path not in EXEMPT
        for line, text in prose(path)
        for word in banned_in(text)
    ]
    assert found == []


def test_the_documentation_speaks_plain_english() -> None:
    # Without the pages of resources, which a build writes to docs/products/<product>/.
    written = [each for each in (ROOT / "docs").rglob("*.md") if each.parent.name not in GENERATED]
    pages = [*ROOT.glob("*.md"), *written]
    found = [
        f"{page.relative_to(ROOT)}: {word}"
        for page in pages
        for word in banned_in(CODE_LINE.sub("", page.read_text("utf-8")))
    ]
    assert found == []


def test_a_banned_word_would_be_found() -> None:
    assert banned_in("Where pages\n come down; calls nobody.") == ["come down", "calls nobody"]
    assert banned_in("Write the pages of one resource to its destination.") == []
