"""The words of this project's first dialect do not come back.

Read are docstrings, comments and messages of the package, its documentation, and the docstrings of
tests. `BANNED` holds what was removed; a word goes in with the sentence that replaced it in mind.
"""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GENERATED = {"books", "invoice", "billing", "inventory", "spec"}

BANNED = re.compile(
    r"""\b(
    nobody | somebody | whoever | whosoever | anew | beside | besides | whence | thereof
    | bury | buries | buried | bore | owed | owes | told | stands | stood
    | of\ its\ own | of\ their\ own | of\ our\ own
    | gone\ on\ with | goes\ on\ with | go\ on\ with | going\ on\ with
    | hangs\ below | what\ hangs | one\ file\ a\ list | calls\ nobody | which\ are\ \d+\ else
    | comes?\ down | brought\ down | that\ is\ none | is\ none\b(?!\ of)
    | no\ matter\ who | what\ is\ asked | that\ there\ is\ none
    | landing | landed | lander | offspring | crowd | papers | desk
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)


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


def banned_in(text: str) -> list[str]:
    return [match[0].lower() for match in BANNED.finditer(" ".join(text.split()))]


@pytest.mark.parametrize("folder", ["zoho_async", "tests", "benchmarks"])
def test_code_speaks_plain_english(folder: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {word}"
        for path in sources()
        if path.relative_to(ROOT).parts[0] == folder and path != Path(__file__)
        for line, text in prose(path)
        for word in banned_in(text)
    ]
    assert found == []


def test_the_documentation_speaks_plain_english() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    found = [
        f"{page.relative_to(ROOT)}: {word}"
        for page in pages
        for word in banned_in(page.read_text("utf-8"))
    ]
    assert found == []


def test_a_banned_word_would_be_found() -> None:
    assert banned_in("Where pages\n come down; calls nobody.") == ["come down", "calls nobody"]
    assert banned_in("Write the pages of one resource to its destination.") == []
