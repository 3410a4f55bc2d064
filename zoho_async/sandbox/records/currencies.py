"""Currencies: the organization's base currency first, then others, each code once.

Exchange rates are made up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from zoho_async.sandbox.data.sales import CURRENCIES
from zoho_async.sandbox.data.schemas import CollectionSchema, CollectionSchemas, Shape
from zoho_async.sandbox.data.seed import SampleData
from zoho_async.sandbox.records.described import Described
from zoho_async.sandbox.records.resource import Record

PATH: Final[Shape] = ("settings", "currencies")


class Currencies(Described):
    """The currencies of one organization."""

    def __init__(
        self, schema: CollectionSchema, schemas: CollectionSchemas, above: Sequence[tuple[str, str]]
    ) -> None:
        super().__init__(schema, schemas, above)
        self.default_rows = len(CURRENCIES)

    def id_of(self, world: SampleData, index: int) -> str:
        if index < len(CURRENCIES) and world.seeded:
            return world.currency(index)[0]
        return super().id_of(world, index)

    def index_of(self, world: SampleData, record_id: str) -> int | None:
        if world.seeded:
            for index in range(len(CURRENCIES)):
                if record_id == world.currency(index)[0]:
                    return index
        return super().index_of(world, record_id)

    def row(self, world: SampleData, index: int) -> Record:
        return _with_facts(world, index, super().row(world, index))

    def detail(self, world: SampleData, index: int, row: Record) -> Record:
        return _with_facts(world, index, super().detail(world, index, row))


def _with_facts(world: SampleData, index: int, made: Record) -> Record:
    base = index == 0
    code = _code(world, index)
    name, symbol = CURRENCIES.get(code, (code, code))[:2]
    known = {
        "currency_code": code,
        "currency_name": f"{code} - {name}",
        "currency_symbol": world.currency_symbol if base else symbol,
        "is_base_currency": base,
        "exchange_rate": _rate(world, index),
    }
    if base:
        known["currency_id"] = world.currency_id
    return made | {field: value for field, value in known.items() if field in made}


def _rate(world: SampleData, index: int) -> float:
    known = index < len(world.currency_codes)
    return world.rate(index) if known else round(0.5 + 0.125 * index, 3)


def _code(world: SampleData, index: int) -> str:
    """The code of a currency. After the known codes come ``XAA``, ``XAB`` and so on."""
    codes = world.currency_codes
    if index < len(codes):
        return codes[index]
    number = index - len(codes)
    return f"X{chr(65 + number // 26 % 26)}{chr(65 + number % 26)}"
