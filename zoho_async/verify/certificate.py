"""Write a verification as a certificate: Markdown that an accountant can read, or JSON."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from zoho_async.errors import ConfigurationError
from zoho_async.http.atomic_file import Draft
from zoho_async.verify.results import (
    Comparison,
    Subject,
    Verdict,
    Verification,
    number,
    period_text,
)

#: What each subject compares, in the words of the certificate.
TITLES: Final[dict[Subject, str]] = {
    "accounts": "Account transactions with the trial balance",
    "receivables": "Open invoices with the aging of receivables",
    "payables": "Open bills with the aging of payables",
    "stock": "Stock on hand with the inventory summary",
    "counts": "Number of records with Zoho's totals",
    "rows": "Rows with those that the export wrote",
    "apart": "Credits, advances and retainers, which no report of Zoho shows alone",
}
_VERDICTS: Final[tuple[Verdict, ...]] = ("agrees", "differs", "not comparable")
_SPECIAL: Final = frozenset("\\|*_`[]<>#&")
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def write_certificate(found: Verification, file: Path) -> None:
    """Write ``found`` to ``file``, as JSON or as text by its suffix. Blocks.

    Raises `ConfigurationError` for another suffix than .md, .txt and .json, and `OSError`.
    """
    check_suffix(file)
    text = certificate_json(found) if file.suffix == ".json" else certificate_text(found).encode()
    draft = Draft(file, file.name)
    try:
        draft.open()
        draft.write([text])
        draft.finish()
    finally:
        draft.clear()


def check_suffix(file: Path) -> None:
    """Raise `ConfigurationError` if a certificate cannot have this file name."""
    if file.suffix not in (".md", ".txt", ".json"):
        raise ConfigurationError(f"a certificate ends in .md, .txt or .json, got {file}")


def certificate_json(found: Verification) -> bytes:
    """The verification as JSON, with its ``verdict``. Amounts are texts with every digit."""
    plain = {"verdict": found.verdict, **msgspec.to_builtins(found)}
    return msgspec.json.format(msgspec.json.encode(plain), indent=2) + b"\n"


def certificate_text(found: Verification) -> str:
    """The certificate as Markdown."""
    return "\n".join(_lines(found)) + "\n"


def sentence(found: Verification) -> str:
    """The result in one sentence."""
    if found.verdict == "not comparable":
        return "Nothing could be compared with Zoho."
    counts = Counter(each.verdict for each in found.checks if each.subject != "apart")
    made = counts["agrees"] + counts["differs"]
    rest = counts["not comparable"]
    others = f" {rest:,} more could not be compared." if rest else ""
    if counts["differs"]:
        return f"{counts['differs']:,} of {made:,} comparisons differ.{others}"
    return f"All {made:,} comparisons agree.{others}"


def tally(found: Verification) -> Iterator[tuple[str, Sequence[int]]]:
    """For each subject that was compared: its title and the number of each verdict."""
    for subject, title in TITLES.items():
        counts = Counter(each.verdict for each in found.checks if each.subject == subject)
        if counts and subject != "apart":
            yield title, [counts[verdict] for verdict in _VERDICTS]


def amount_of(value: Decimal | None, check: Comparison) -> str:
    """An amount of a comparison, "" for none; records are counted without a decimal point."""
    if value is None:
        return ""
    return f"{value:,f}" if check.subject in ("counts", "rows") else number(value)


def _lines(found: Verification) -> Iterator[str]:
    yield "# Comparison of a copy of the books with Zoho's reports"
    yield ""
    yield f"**{sentence(found)}**"
    yield ""
    name = f"{found.organization_name} ({found.organization})".strip()
    yield from _table(
        ("", ""),
        [
            ("Organization", name),
            ("Base currency", found.base_currency or "not known"),
            ("Copy", found.mirror),
            ("Compared on", f"{found.time:%Y-%m-%d %H:%M %Z}"),
        ],
    )
    yield from _section("Result")
    heads = ("Compared", "agree", "differ", "not comparable")
    yield from _table(heads, [(title, *map(str, counts)) for title, counts in tally(found)])
    yield from _differences(found)
    yield from _not_comparable(found)
    for subject, title in TITLES.items():
        checks = [each for each in found.checks if each.subject == subject]
        if checks:
            yield from _section(title)
            yield from _amounts(checks)
    yield from _sources(found)
    yield from _section("What the words mean")
    yield from (f"- {line}" for line in _WORDS)


_WORDS: Final = (
    "**agrees**: the copy adds up to Zoho's report, to the last digit.",
    "**differs**: at least one record is not the same in the copy and in Zoho, although Zoho "
    "has not changed it since it was copied. Each such record is named.",
    "**not comparable**: the numbers do not agree and no record proves that the copy is wrong: "
    "records were changed after they were copied, or Zoho's report counts in another way than its "
    "lists.",
    "**Zoho** is the number in the report, read after the comparison. A report that changed "
    "meanwhile is marked; then the number before the comparison counts as well.",
)


def not_comparable(found: Verification) -> list[Comparison]:
    """The comparisons that could not be made."""
    return [
        each
        for each in found.checks
        if each.verdict == "not comparable" and each.subject != "apart"
    ]


def _differences(found: Verification) -> Iterator[str]:
    if found.differing:
        yield from _section("Differences")
        heads = ("Compared", "Record", "Id", "In the copy", "In Zoho")
        yield from _table(
            heads,
            [
                (_named(check), one.record, one.id, one.mirror, one.zoho)
                for check in found.differing
                for one in check.differences
            ],
        )


def _not_comparable(found: Verification) -> Iterator[str]:
    rest = not_comparable(found)
    if rest or found.not_compared:
        yield from _section("What was not compared")
        yield from (f"- {_cell(line)}" for line in found.not_compared)
        for check in rest:
            yield f"- {_cell(_named(check))}: {_cell(check.reason)}."
    apart = [(each, text) for each in found.checks for text in each.set_apart]
    if apart:
        yield from _section("Records set apart")
        yield from (f"- {_cell(_named(check))}: {_cell(text)}" for check, text in apart)


def _named(check: Comparison) -> str:
    period = period_text(check.period)
    return f"{check.name}, {period}" if period else check.name


def _amounts(checks: Sequence[Comparison]) -> Iterator[str]:
    subject = checks[0].subject
    other = "Written by the export" if subject == "rows" else "In Zoho"
    heads = ("Name", "Period", "Unit", "In the copy", other, "Result")
    yield from _table(
        heads,
        [
            (
                *(check.name, period_text(check.period), check.unit),
                *(amount_of(check.mirror, check), amount_of(check.zoho, check), check.verdict),
            )
            for check in checks
        ],
        right=(3, 4),
    )


def _sources(found: Verification) -> Iterator[str]:
    yield from _section("Sources")
    yield "Reports of Zoho, each read before and after the comparison:"
    yield ""
    yield from _table(
        ("Report", "Period", "Basis", "Changed meanwhile"),
        [
            (one.title, period_text(one.period) or "today", one.basis, "yes" if one.moved else "no")
            for one in found.reports
        ],
    )
    yield ""
    yield "Tables of the copy. The digest is the SHA-256 of the fields that were read"
    yield "(`zoho_async.verify.mirror.digest_of`): an equal digest means equal values."
    yield ""
    yield from _table(
        ("Table", "Rows", "State as of", "Digest"),
        [
            (one.resource, f"{one.rows:,}", f"{one.read_at:%Y-%m-%d %H:%M %Z}", one.digest)
            for one in found.tables
        ],
        right=(1,),
    )


def _section(title: str) -> tuple[str, str, str]:
    return "", f"## {title}", ""


def _table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()
) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'|'.join('---:' if at in right else '---' for at in range(len(heads)))}|"
    for row in rows:
        yield f"| {' | '.join(map(_cell, row))} |"


def _cell(text: str) -> str:
    """``text`` as one line of Markdown that shows it as it is."""
    shown = (
        "?" if unicodedata.category(one) in _HIDDEN else f"\\{one}" if one in _SPECIAL else one
        for one in text
    )
    return "".join(shown)
