"""Find operations and describe them, from the packed description. Makes no API call."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from zoho_async.description import Field, OperationFacts
from zoho_async.integrations.mcp.allowed import (
    access_of,
    operation_named,
    operations,
    parameters_of,
)
from zoho_async.integrations.mcp.pages import Rows
from zoho_async.integrations.mcp.uploads import file_fields

_FOUND: Final = 30
_WORD: Final = re.compile(r"[a-z0-9]+")
_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")


def found_operations(query: str, product: str | None = None) -> Rows:
    """Return the operations whose names and paths have the most words of ``query``.

    Among those with the same number: Books first, and those with the fewest other words.
    """
    wanted = _words(query)
    ranked: list[tuple[tuple[float, ...], OperationFacts]] = []
    for number, facts in enumerate(operations().values()):
        if product is not None and facts.product != product:
            continue
        words = _words(f"{facts.name} {facts.path}")
        common = len(wanted & words)
        if common or not wanted:
            rank = (-common, facts.product != "books", len(words), number)
            ranked.append((rank, facts))
    ranked.sort(key=lambda each: each[0])
    rows = [_short(facts) for _, facts in ranked[:_FOUND]]
    return Rows(rows=rows, head={"found": len(ranked)})


def _words(text: str) -> set[str]:
    return {_stem(word) for word in _WORD.findall(text.lower())}


def _stem(word: str) -> str:
    """``word`` without the ending of a plural."""
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _short(facts: OperationFacts) -> dict[str, Any]:
    return {
        "operation": facts.name,
        "access": access_of(facts),
        "call": f"{facts.method} {facts.path}",
    }


def described(name: str) -> Rows:
    """Return what an operation takes and returns, a row per parameter and field.

    Raises `ConfigurationError` for an unknown name.
    """
    facts = operation_named(name)
    head: dict[str, Any] = {
        **_short(facts),
        "ids": _PLACEHOLDER.findall(facts.path),
        "scope": facts.scope,
        "returns": facts.answer,
    }
    if facts.confidence:
        head["confidence"] = f"seen, not documented ({facts.confidence})"
    taken = parameters_of(facts)
    query = [one for one in facts.query if one.name in taken]
    known = {name for one in query for name in (one.name, *one.variants)}
    rows = [*_rows("query", query), *({"in": "query", "name": name} for name in taken - known)]
    if access_of(facts) == "read":
        rows += _rows("reply", facts.reply, deep=False)
    else:
        rows += _rows("body", facts.body)
        rows += ({"in": "files", "name": name} for name in file_fields(facts))
    return Rows(rows=rows, head=head)


def _rows(
    place: str, fields: Iterable[Field], above: str = "", *, deep: bool = True
) -> Iterator[dict[str, Any]]:
    for field in fields:
        name = f"{above}{field.name}"
        row: dict[str, Any] = {"in": place, "name": name, "kind": field.kind}
        if field.required:
            row["required"] = True
        if field.allowed:
            row["allowed"] = list(field.allowed)
        if field.variants:
            row["variants"] = list(field.variants)
        if field.max_length:
            row["max_length"] = field.max_length
        yield row
        if deep and field.fields:
            inner = f"{name}[]." if field.kind == "list" else f"{name}."
            yield from _rows(place, field.fields, inner)
