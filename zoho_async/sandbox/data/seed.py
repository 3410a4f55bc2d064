"""Sample data of one organization, derived from a seed and a day.

Row ``i`` of a resource is a function of (seed, organization, resource, its number of rows, *today*,
``i``). A list of any length costs nothing until it is read, and a test can compute the expected
rows without a request. The rows are of the three years before today (see `dates`), and `sales` has
what happened to the invoices of Books. Ids have 18 or 19 digits and ascend with ``created_time``.
Two neighboring rows share one second, as records of an import do.

Today is the day on which the data was made. It stays while a sandbox runs, and in its file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from functools import cached_property
from hashlib import blake2b
from typing import Any, Final

from zoho_async.sandbox.data.dates import calendar_of, day, day_formatted, moment_of
from zoho_async.sandbox.data.sales import CURRENCIES, IMPORTED, INVOICES, ITEMS, Sales

#: The default number of rows of a resource.
SIZES: Final[dict[str, int]] = {
    "books.contacts": 1_500,
    "books.items": 600,
    "books.invoices": 6_000,
    "books.projects": 120,
}

_NUMBERS: Final[dict[str, int]] = {
    "books.contacts": 1,
    "books.items": 2,
    "books.invoices": 3,
    "books.projects": 4,
}
_ID_STEP: Final = 1_000
_INNER: Final = 99 * 10_000_000_000
_INNER_PLACES: Final = 9_000_000
_TOP_ROWS: Final = 25
_CURRENCY: Final = 101
_LONGEST_CHANGE: Final = 5_000_000
#: Rows that every organization has, also one that starts empty: the accounts of the ledger.
_ALWAYS: Final = {"books.chart_of_accounts": 25}
#: The number of seeded rows in every list below a record.
INSIDE: Final = 2

#: Names that the four products use for the id of a contact's primary person.
PRIMARY_IDS: Final = ("primary_contact_id", "primary_contactperson_id")
#: How many of the numbers between two contacts' ids are for the first contact's persons.
_PERSONS: Final = range(9, 990)

#: Symbols of base currencies. Currencies that are not listed are shown by their code.
_SYMBOLS: Final = {"USD": "$", "EUR": "€", "GBP": "£", "INR": "₹", "JPY": "¥", "BRL": "R$"}
#: First names of people.
GIVEN: Final = ("Ana", "Bo", "Chidi", "Dörte", "Emeka", "Françoise")
_FIRST: Final = (
    *("Adams", "Brook", "Calder", "Dumont", "Ellery", "Fjord", "Grant", "Hollis"),
    *("Ibarra", "Jansen", "Kestrel", "Lindqvist", "Moreau", "Núñez", "Oakes", "Pereira"),
    *("Quill", "Rossi", "Sørensen", "Tanaka", "Ünal", "Vega", "Wójcik", "Zhang"),
)
_SECOND: Final = (
    *("Bakery", "Logistics", "Studio", "Foods", "Textiles", "Optics", "Motors", "Farms"),
    *("Print", "Labs", "& Sons", "Trading", "Energy", "Interiors", "Tools", "Books"),
)
#: Words that careless programs cannot write or read, in every sixteenth name.
_AWKWARD: Final = ('"Quoted" Goods', "Back\\slash", "株式会社", "Zoë, Ltd; Co", "<b>Bold</b>")
_REGIONS: Final = ("North", "South", "East", "West", "")


#: Sales that were made, by what decides them: tests start many equal sandboxes.
_SALES: Final[dict[object, Sales]] = {}
_MOST_SALES: Final = 8


class SampleData:
    """The fixed data of one organization in one product: its ids, times and random draws.

    ``numbers`` make the ids of top-level resources distinct; `Store` adds the numbers of further
    resources. ``currency`` is the code of the base currency. If not ``seeded``, the organization
    starts empty. ``clock`` gives the time in seconds since 1970; ``today`` is the day before which
    the sample data ends, by default the clock's.
    """

    def __init__(
        self,
        seed: int,
        organization: str,
        sizes: Mapping[str, int],
        product: str = "books",
        *,
        currency: str = "USD",
        seeded: bool = True,
        clock: Callable[[], float] = time.time,
        today: date | None = None,
    ) -> None:
        self.clock: Final = clock
        self.today: Final = today or date.fromisoformat(day(int(clock())))
        self.calendar: Final = calendar_of(self.today)
        self.seed = seed
        self.product = product
        self.seeded: Final = seeded
        self.currency_code: Final = currency
        self.currency_symbol: Final = _SYMBOLS.get(currency, currency)
        self.currency_name: Final = "USD- United States Dollar" if currency == "USD" else currency
        self.numbers = dict(_NUMBERS) if product == "books" else {}
        self.organization = organization
        given = {name if "." in name else f"books.{name}": n for name, n in sizes.items()}
        self.sizes = SIZES | given if seeded else {}
        self._key = f"{seed}/{organization}/"
        place = "organization" if product == "books" else f"organization/{product}"
        first = int.from_bytes(self.draw(place, 0)[:4], "big")
        digits = 1_000_000 if first % 2 else 100_000
        self.prefix = str(digits + first // 2 % (9 * digits))
        self.currency_id = self.fixed_id(_CURRENCY)
        self.user_id = self.fixed_id(1)
        self.parties = "billing.customers" if product == "billing" else f"{product}.contacts"
        self._custom_fields: dict[tuple[int, int], dict[str, Any]] = {}

    def draw(self, resource: str, index: int) -> bytes:
        """Draw the 32 bytes that decide everything about a row."""
        return blake2b(f"{self._key}{resource}/{index}".encode(), digest_size=32).digest()

    def of(self, product: str) -> SampleData:
        """The same organization in another product."""
        return SampleData(
            self.seed,
            self.organization,
            self.sizes,
            product,
            currency=self.currency_code,
            seeded=self.seeded,
            clock=self.clock,
            today=self.today,
        )

    def now(self) -> int:
        """The time of the clock, in seconds since 1970."""
        return int(self.clock())

    def day_now(self) -> str:
        """The day of the clock in the organization."""
        return day(self.now())

    @cached_property
    def sales(self) -> Sales:
        """What happened to the invoices of Books. Equal organizations share it."""
        sizes = tuple(self.size(each) for each in (INVOICES, ITEMS, self.parties))
        key = self._key, self.product, self.currency_code, self.today, sizes
        known = _SALES.get(key)
        if known is None:
            if len(_SALES) >= _MOST_SALES:
                _SALES.clear()
            known = _SALES[key] = Sales(self)
        return known

    def size(self, resource: str, default: int | None = None) -> int:
        """The number of seeded rows of ``product.resource``."""
        least = _ALWAYS.get(resource, 0)
        if not self.seeded:
            return least
        return max(least, self.sizes.get(resource, _TOP_ROWS if default is None else default))

    def id(self, resource: str, index: int, part: int = 1) -> str:
        """The id of row ``index``, or of an object inside it (``part`` from 2 to 999)."""
        tail = self.numbers[resource] * 10_000_000_000 + index * _ID_STEP + part
        return f"{self.prefix}{tail:012d}"

    def inner_id(self, place: str, index: int) -> str:
        """The id of row ``index`` of a list inside a record."""
        return f"{self.prefix}{_INNER + self._inner(place) + index + 1:012d}"

    def inner_index(self, place: str, record_id: str) -> int | None:
        """The row number of an id in a list inside a record."""
        tail = self._tail(record_id)
        index = tail - _INNER - self._inner(place) - 1 if tail is not None else -1
        return index if index >= 0 else None

    def _inner(self, place: str) -> int:
        return int.from_bytes(self.draw(place, -1)[:8], "big") % _INNER_PLACES * _ID_STEP

    def reference(self, resource: str, draw: bytes, salt: int) -> str:
        """The id of a seeded row of another resource, or "" if that has no rows."""
        size = self.size(resource)
        return self.id(resource, (int.from_bytes(draw[2:5], "big") ^ salt) % size) if size else ""

    def index(self, resource: str, record_id: str) -> int | None:
        """The row number of an id, or None if no row can have the id."""
        tail = self._tail(record_id)
        if tail is None:
            return None
        index, part = divmod(tail - self.numbers[resource] * 10_000_000_000, _ID_STEP)
        return index if part == 1 and 0 <= index < 10_000_000 else None

    def _tail(self, record_id: str) -> int | None:
        tail = record_id.removeprefix(self.prefix)
        if len(tail) != 12 or len(record_id) != len(self.prefix) + 12:
            return None
        return int(tail) if tail.isascii() and tail.isdigit() else None

    def fixed_id(self, number: int) -> str:
        """The id of an object that every organization has (its currency, its user)."""
        return f"{self.prefix}{88_000 + number:012d}"

    def created(self, resource: str, index: int, rows: int | None = None) -> int:
        """The creation time of row ``index``, in seconds since 1970.

        ``rows`` is the number of the resource's rows if it has another default.
        """
        imported = IMPORTED if resource in (self.parties, f"{self.product}.items") else 0.0
        return self.calendar.created(index, self.size(resource, rows), imported=imported)

    def modified(self, created: int, draw: bytes) -> int:
        """The last change of a row. Three of ten rows changed some time after creation."""
        longest = min(_LONGEST_CHANGE, self.calendar.end - created)
        if draw[28] % 10 >= 3 or longest <= 0:
            return created
        return created + int.from_bytes(draw[29:32], "big") % longest

    def party(self, index: int, draw: bytes) -> str:
        """A company name, different for every row."""
        second = _SECOND[draw[1] % 16]
        if index % 16 == 13:
            second = _AWKWARD[index // 16 % len(_AWKWARD)]
        return f"{_FIRST[draw[0] % 24]} {second} {index}"

    def customer(self, draw: bytes) -> tuple[str, str]:
        """The id and name of the contact of a document, or ("", "") if there are no contacts.

        The last fifth of the contacts has no documents, so that some can be deleted.
        """
        busy = self.size(self.parties) * 4 // 5
        if not busy:
            return "", ""
        party = self.sales.party(int.from_bytes(draw[2:5], "big") % busy)
        return party.id, party.name

    @cached_property
    def currency_codes(self) -> list[str]:
        """The codes of the seeded currencies, the base currency first."""
        return [self.currency_code, *(code for code in CURRENCIES if code != self.currency_code)]

    def currency(self, number: int) -> tuple[str, str, str]:
        """The id, code and symbol of a seeded currency, counted from the base currency."""
        if not number:
            return self.currency_id, self.currency_code, self.currency_symbol
        code = self.currency_codes[number]
        return self.fixed_id(_CURRENCY + number), code, CURRENCIES[code][1]

    def rate(self, number: int) -> float:
        """The usual rate of a seeded currency in the base currency. Rates are made up."""
        if not number:
            return 1.0
        base = CURRENCIES.get(self.currency_code, ("", "", 1.0))[2]
        return round(CURRENCIES[self.currency_codes[number]][2] / base, 6)

    def custom_fields(self, draw: bytes) -> dict[str, Any]:
        """A record's custom fields in all three forms. Half of the records have none.

        Records with the same values share the inner objects: replace them, never change them.
        """
        if draw[24] % 2:
            return {"custom_fields": [], "custom_field_hash": {}}
        values = draw[25] % 5, draw[26]
        known = self._custom_fields.get(values)
        if known is None:
            known = self._custom_fields[values] = self._custom_fields_of(*values)
        return known

    def _custom_fields_of(self, region: int, score: int) -> dict[str, Any]:
        area = _REGIONS[region]
        renewal = day(moment_of(self.today) + score * 86_400)
        formatted = day_formatted(renewal)
        return custom_field_forms(
            [
                (self.fixed_id(701), "Region", "cf_region", "string", area, area),
                (self.fixed_id(703), "Score", "cf_score", "number", str(score), score),
                (self.fixed_id(705), "Renewal", "cf_renewal", "date", formatted, renewal),
            ]
        )


def person_id(contact_id: str, index: int) -> str:
    """The id of a contact's person, or "" if ``index`` exceeds the numbers between contacts."""
    return str(int(contact_id) + _PERSONS[index]) if index < len(_PERSONS) else ""


def person_index(contact_id: str, record_id: str) -> int | None:
    """The number of a contact's person with this id, or None if the contact has no such person."""
    if not (record_id.isascii() and record_id.isdigit()):
        return None
    part = int(record_id) - int(contact_id)
    return _PERSONS.index(part) if part in _PERSONS else None


def amount_formatted(amount: float | Decimal, symbol: str) -> str:
    return f"{symbol}{amount:,.2f}"


def custom_field_forms(fields: list[tuple[str, str, str, str, str, Any]]) -> dict[str, Any]:
    """The three forms of (id, label, api name, data type, formatted, value) fields."""
    rows: list[dict[str, Any]] = []
    flat: dict[str, Any] = {}
    for index, (field_id, label, name, data_type, formatted, value) in enumerate(fields, 1):
        rows.append(
            {
                "customfield_id": field_id,
                "index": index,
                "label": label,
                "api_name": name,
                "data_type": data_type,
                "value": value,
                "value_formatted": formatted,
            }
        )
        flat[name] = formatted
        flat[f"{name}_unformatted"] = value
    return {"custom_fields": rows, "custom_field_hash": flat, **flat}
