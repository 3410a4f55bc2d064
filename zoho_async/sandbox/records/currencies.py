"""Currencies: the organization's base currency first, then others, each code once.

Exchange rates are made up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from zoho_async.sandbox.data.schemas import CollectionSchema, CollectionSchemas, Shape
from zoho_async.sandbox.data.seed import SampleData
from zoho_async.sandbox.records.described import Described
from zoho_async.sandbox.records.resource import Record

PATH: Final[Shape] = ("settings", "currencies")
_KNOWN: Final = {
    "USD": ("US Dollar", "$"),
    "EUR": ("Euro", "€"),
    "GBP": ("Pound Sterling", "£"),
    "INR": ("Indian Rupee", "Rs."),
    "AUD": ("Australian Dollar", "AU$"),
    "CAD": ("Canadian Dollar", "CA$"),
    "SGD": ("Singapore Dollar", "S$"),
    "JPY": ("Japanese Yen", "¥"),
    "AED": ("UAE Dirham", "AED"),
    "ZAR": ("South African Rand", "R"),
}


class Currencies(Described):
    """The currencies of one organization."""

    def __init__(
        self, schema: CollectionSchema, schemas: CollectionSchemas, above: Sequence[tuple[str, str]]
    ) -> None:
        super().__init__(schema, schemas, above)
        self.default_rows = len(_KNOWN)

    def id_of(self, world: SampleData, index: int) -> str:
        if index == 0 and world.seeded:
            return world.currency_id
        return super().id_of(world, index)

    def index_of(self, world: SampleData, record_id: str) -> int | None:
        if world.seeded and record_id == world.currency_id:
            return 0
        return super().index_of(world, record_id)

    def row(self, world: SampleData, index: int) -> Record:
        return _with_facts(world, index, super().row(world, index))

    def detail(self, world: SampleData, index: int, row: Record) -> Record:
        return _with_facts(world, index, super().detail(world, index, row))


def _with_facts(world: SampleData, index: int, made: Record) -> Record:
    base = index == 0
    code = _code(world.currency_code, index)
    name, symbol = _KNOWN.get(code, (code, code))
    known = {
        "currency_code": code,
        "currency_name": f"{code} - {name}",
        "currency_symbol": world.currency_symbol if base else symbol,
        "is_base_currency": base,
        "exchange_rate": 1.0 if base else round(0.5 + 0.125 * index, 3),
    }
    if base:
        known["currency_id"] = world.currency_id
    return made | {field: value for field, value in known.items() if field in made}


def _code(own: str, index: int) -> str:
    """The code of a currency. After the known codes come ``XAA``, ``XAB`` and so on."""
    codes = [own, *(code for code in _KNOWN if code != own)]
    if index < len(codes):
        return codes[index]
    number = index - len(codes)
    return f"X{chr(65 + number // 26 % 26)}{chr(65 + number % 26)}"
