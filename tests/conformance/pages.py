"""The documentation pages of Zoho Invoice and Zoho Billing, parsed into descriptions.

A page gives an operation by title, method and path, an example of the request as a curl command, an
example of the reply, and lists of names. Without a schema, only the examples are compared.
"""

from __future__ import annotations

import csv
import functools
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import msgspec

from tests.conformance.official import (
    REFERENCE,
    Described,
    Document,
    Json,
    Parameter,
    files,
    nameless,
    operations,
    slug,
)

INVOICE: Final = REFERENCE / "docs" / "zoho-invoice-v3.txt"
BILLING: Final = REFERENCE / "docs" / "zoho-billing-v1-invoices.txt"

_CALL: Final = re.compile(r"^(GET|POST|PUT|DELETE) (/\S+)$", re.MULTILINE)
_BILLING_CALL: Final = re.compile(
    r'^url: "https://[^/"]+/subscriptions/v1([^"]+)"\ntype: (\w+)$', re.M
)
_STATUS: Final = re.compile(r"HTTP/1\.1 (\d+)")
_NAME: Final = re.compile(r"[a-z_]+")
_LEFT_OUT: Final = re.compile(r",?\s*\{\s*\.\.\.\s*\}|\{\s*\.\.\.\s*\},?\s*")
_HEADINGS: Final = re.compile(
    r"^(Request Example|Response Example|Arguments|Query Parameters)$", re.M
)

#: Paths with typing errors, or that differ from the OpenAPI files.
REPAIRED: Final = {
    "/contact/{contact_id}/active": "/contacts/{contact_id}/active",
    "/invoices/{id}/status/void": "/invoices/{id}/void",
    "/invoices/{id}/writeoff/cancel": "/invoices/{id}/cancelwriteoff",
}


SURFACE: Final = REFERENCE / "invoice-surface.csv"


class PageOperation(msgspec.Struct, frozen=True):
    """An operation of a page, and the names of its arguments."""

    described: Described
    arguments: frozenset[str]


@functools.cache
def invoice_page() -> tuple[PageOperation, ...]:
    """The operations of the Invoice page, in its order."""
    text = INVOICE.read_text(encoding="utf-8")
    calls = list(_CALL.finditer(text))
    ends = [*(call.start() for call in calls[1:]), len(text)]
    found = [
        _operation(call, text[: call.start()].split("\n\n")[-3:], text[call.end() : end])
        for call, end in zip(calls, ends, strict=True)
    ]
    return tuple(_repeated(found))


def paths(product: str) -> set[str]:
    """The paths of the operations of a product's page, read without their descriptions."""
    if product == "invoice":
        return {_invoice_path(call) for call in _CALL.finditer(INVOICE.read_text("utf-8"))}
    return {_billing_path(call) for call in _BILLING_CALL.finditer(BILLING.read_text("utf-8"))}


def _invoice_path(call: re.Match[str]) -> str:
    return REPAIRED.get(call[2], call[2])


def _billing_path(call: re.Match[str]) -> str:
    path = re.sub(r"/\d+", "/{id}", call[1])
    return REPAIRED.get(path, path)


class Shared(msgspec.Struct, frozen=True):
    """An operation that Invoice shares with Books, with its parameters there."""

    file: str
    call: tuple[str, str]
    query: frozenset[str]


@functools.cache
def surface() -> tuple[Shared, ...]:
    """The operations that Invoice shares with Books, including those of the page."""
    with SURFACE.open(encoding="utf-8", newline="") as lines:
        return tuple(
            Shared(
                row["file"].removesuffix(".yml"),
                (row["method"], nameless(row["path"])),
                frozenset(row["query_params"].split(";")),
            )
            for row in csv.DictReader(lines)
        )


@functools.cache
def billing_page() -> tuple[PageOperation, ...]:
    """The operations of the Billing page, in its order."""
    text = BILLING.read_text(encoding="utf-8")
    calls = list(_BILLING_CALL.finditer(text))
    ends = [*(call.start() for call in calls[1:]), len(text)]
    return tuple(
        _billing_operation(call, text[: call.start()], text[call.end() : end])
        for call, end in zip(calls, ends, strict=True)
    )


def _operation(call: re.Match[str], above: list[str], text: str) -> PageOperation:
    method, path = call[1], _invoice_path(call)
    parts = dict(_sections(text))
    reply = parts.get("Response Example", "")
    query = dict(_names(parts.get("Query Parameters", "")))
    arguments = dict(_names(parts.get("Arguments", "")))
    if method in ("GET", "DELETE"):
        query |= arguments
    request = parts.get("Request Example", "")
    status = _STATUS.search(reply)
    return PageOperation(
        _described(
            "invoice",
            method,
            path,
            scope=_scope(above[1]),
            names=(slug(above[0]), *_books().get((method, nameless(path)), ())),
            body=_body(request),
            reply=first_object(reply),
            query=query,
            status=int(status[1]) if status else 200,
        ),
        frozenset(arguments) if method in ("POST", "PUT") else frozenset(),
    )


def _repeated(found: list[PageOperation]) -> Iterator[PageOperation]:
    seen: set[tuple[str, str]] = set()
    for each in found:
        described = each.described
        repeated = described.call in seen
        seen.add(described.call)
        yield PageOperation(
            msgspec.structs.replace(described, is_repeated=repeated), each.arguments
        )


def _scope(text: str) -> str:
    """The last scope that ``text`` names."""
    return str(re.findall(r"scope ?: ?([\w.]+)", text, re.IGNORECASE)[-1])


def _billing_operation(call: re.Match[str], before: str, text: str) -> PageOperation:
    path = _billing_path(call)
    examples = list(_objects(text[text.index("curl --request") :]))
    reply = next(each for each in examples if {"code", "message"} <= each.keys())
    body = examples[0] if call[2] in ("POST", "PUT") and examples[0] is not reply else None
    return PageOperation(
        _described(
            "billing",
            call[2],
            path,
            scope=_scope(before),
            names=(),
            body=msgspec.UNSET if body is None else body,
            reply=reply,
            query={},
            status=200,
        ),
        frozenset(),
    )


def _described(
    product: str,
    method: str,
    path: str,
    *,
    scope: str,
    names: tuple[str, ...],
    body: Json,
    reply: Json,
    query: dict[str, str],
    status: int,
) -> Described:
    named = [
        Parameter(name=name, place="query", schema={}, example=None, text=text, required=False)
        for name, text in query.items()
    ]
    return Described(
        product=product,
        file="page",
        names=names,
        method=method,
        path=path,
        scopes=frozenset({scope}),
        text=" ".join(query.values()),
        parameters=tuple(named),
        body=None,
        form=None,
        status=status,
        answers={"application/json": {}},
        document=Document({}),
        body_example=body,
        reply_example=reply,
    )


@functools.cache
def _books() -> dict[tuple[str, str], tuple[str, ...]]:
    """The operations of Books, by method and path without names."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for product, stem in files():
        if product == "books":
            for each in operations(product, stem):
                found[each.call] = (*found.get(each.call, ()), *each.names)
    return found


def _sections(text: str) -> Iterator[tuple[str, str]]:
    found = list(_HEADINGS.finditer(text))
    for number, heading in enumerate(found):
        end = found[number + 1].start() if number + 1 < len(found) else len(text)
        yield heading[1], text[heading.end() : end]


def _names(text: str) -> Iterator[tuple[str, str]]:
    """The names of a list, each with the lines up to the next name."""
    lines = text.split("\n\n", 2)[1].splitlines() if "\n\n" in text else []
    starts = [
        number
        for number, line in enumerate(lines)
        if _NAME.fullmatch(line) and _is_marked(lines[number + 1 : number + 3])
    ]
    for number, start in enumerate(starts):
        end = starts[number + 1] if number + 1 < len(starts) else len(lines)
        yield lines[start], " ".join(lines[start:end])


def _is_marked(after: list[str]) -> bool:
    """Whether the following lines show that a line is a name."""
    return any(line in ("Required", "Optional") for line in after)


def _body(request: str) -> Json:
    found = re.search(r"-d '(.*)'", request, re.DOTALL)
    if found is None:
        return msgspec.UNSET
    text = found[1].strip().removeprefix("JSONString=")
    return first_object(text) if "{" in text else msgspec.UNSET


def _objects(text: str) -> Iterator[dict[str, Json]]:
    """The JSON objects that start on a separate line, in order."""
    repaired = _LEFT_OUT.sub("", text)
    decoder = json.JSONDecoder(parse_float=Decimal, strict=False)
    end = 0
    for start in (each.start() for each in re.finditer(r"^\{$", repaired, re.MULTILINE)):
        if start >= end:
            value, end = decoder.raw_decode(repaired, start)
            yield value


def first_object(text: str) -> Json:
    """The first JSON object in ``text``, without the parts that the page omits."""
    repaired = _LEFT_OUT.sub("", text)
    start = repaired.find("{")
    if start < 0:
        return {}
    decoder = json.JSONDecoder(parse_float=Decimal, strict=False)
    value: Any = decoder.raw_decode(repaired[start:])[0]
    return value
