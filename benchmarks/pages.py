"""The bytes that the server answers with, prepared from the sandbox's own rows.

An organization's number says what its lists hold: ``organization("typed", 1_000_000)`` is a list of
a million rows. The page that repeats has its number written into every row's id, so that no row
comes twice; everything else is copied.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Literal, TypeAlias

import msgspec

from zoho_async.sandbox import Sandbox

PER_PAGE: Final = 200

#: ``typed``: as Zoho writes it. ``drifted``: one value of a wrong type in every row. ``plain``:
#: with null for every blank, so that a decoder that knows nothing of blanks can read it.
Kind: TypeAlias = Literal["typed", "drifted", "plain"]

_KINDS: Final[tuple[Kind, ...]] = ("typed", "drifted", "plain")
_LISTS: Final = {"invoices": "invoice_id", "projects": "project_id"}
_DRIFTS: Final = {"invoices": "balance", "projects": "rate"}
_NUMBER: Final = b"PPPPPPPP"  # stands in a template where the page's number goes, eight digits


def organization(kind: Kind, rows: int) -> str:
    """The organization whose lists hold ``rows`` rows of this kind."""
    return f"{_KINDS.index(kind) + 1}{rows:08d}"


class Template:
    """One list's page, cut where its number goes."""

    def __init__(self, name: str, rows: list[bytes]) -> None:
        self._open = b'{"code":0,"message":"success","' + name.encode() + b'":['
        self._rows = [row.split(_NUMBER) for row in rows]
        self._whole = self._open + b",".join(rows)
        self._parts = self._whole.split(_NUMBER)

    def page(self, number: int, rows: int) -> bytes:
        """Page ``number`` of a list of ``rows``."""
        digits = b"%08d" % number
        here = max(0, min(PER_PAGE, rows - (number - 1) * PER_PAGE))
        if here == PER_PAGE:
            body = digits.join(self._parts)
        else:
            body = self._open + b",".join(digits.join(parts) for parts in self._rows[:here])
        more = b"true" if number * PER_PAGE < rows else b"false"
        return (
            body
            + b'],"page_context":{"page":%d,"per_page":%d,"has_more_page":' % (number, PER_PAGE)
            + more
            + b',"report_name":"A list","applied_filter":"Status.All","sort_column":"created_time",'
            b'"sort_order":"A","total":%d,"total_pages":%d}}' % (rows, -(-rows // PER_PAGE))
        )


def prepare() -> tuple[dict[tuple[str, str], Template], bytes]:
    """A template for each kind (its digit) of each list, and the reply to a small call."""
    return asyncio.run(_prepare())


async def _prepare() -> tuple[dict[tuple[str, str], Template], bytes]:
    sizes = {f"books.{name}": PER_PAGE for name in _LISTS}
    async with Sandbox(sizes=sizes) as sandbox:
        templates: dict[tuple[str, str], Template] = {}
        for name, row_id in _LISTS.items():
            rows = [
                _numbered(row, row_id, at)
                for at, row in enumerate(sandbox.truth(f"books.{name}"), 1)
            ]
            drifted = [_drifted(row, _DRIFTS[name]) for row in rows]
            plain = [row.replace(b':""', b":null") for row in rows]
            for kind, those in zip(_KINDS, (rows, drifted, plain), strict=True):
                digit = str(_KINDS.index(kind) + 1)
                templates[digit, name] = Template(name, those)
        contact = sandbox.truth("books.contacts")[0]
    return templates, b'{"code":0,"message":"success","contacts":[' + contact + b"]}"


def _numbered(row: bytes, row_id: str, at: int) -> bytes:
    own = msgspec.json.decode(row)[row_id].encode()
    return row.replace(own, b"460000" + _NUMBER + b"%05d" % at)


def _drifted(row: bytes, field: str) -> bytes:
    values: dict[str, Any] = msgspec.json.decode(row, type=dict[str, msgspec.Raw])
    values[field] = msgspec.Raw(b'{"odd":true}')
    return msgspec.json.encode(values)
