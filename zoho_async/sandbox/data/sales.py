"""The sample firm's sales in Books: invoices, what was paid for them, and credit notes.

Model
-----
A *sale* is an invoice and all that happened to it until the evening before today. It is a function
of (seed, organization, today, row number), so an invoice costs nothing until it is read. Payments
and credit notes are the sales' events, in the order of their times; the first one that is read
makes all sales once.

- A customer has one currency, payment terms and a rank: most sales go to few customers.
- Most invoices are paid about when they are due, some late, a few never. Some are paid in two
  parts. A few are void, and some of the latest are drafts.
- A credit note takes back a part of an invoice in the base currency. Either it settles that part,
  or it comes after the invoice was paid and stays open.

Invariant
---------
For each posted sale, in cents: total = payments + credits applied + balance. The balance is never
negative, and no event is before the invoice or after the evening before today. So an invoice's
status and last change follow from its events. The lines of a sale convert to the base currency
without rounding.

Made up: prices, rates of exchange, and how customers pay.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

import msgspec

from zoho_async.sandbox.data.dates import day

if TYPE_CHECKING:
    from zoho_async.sandbox.data.seed import SampleData

INVOICES: Final = "books.invoices"
ITEMS: Final = "books.items"
#: The share of contacts and items that the firm had when it began.
IMPORTED: Final = 0.4

_DAY: Final = 86_400
_TERMS: Final = (0, 15, 30, 45)
#: Currencies, the base currency first, and value of one unit in US dollars.
CURRENCIES: Final = {
    "USD": ("US Dollar", "$", 1.0),
    "EUR": ("Euro", "€", 1.08),
    "GBP": ("Pound Sterling", "£", 1.27),
    "INR": ("Indian Rupee", "Rs.", 0.012),
    "AUD": ("Australian Dollar", "AU$", 0.66),
    "CAD": ("Canadian Dollar", "CA$", 0.73),
    "SGD": ("Singapore Dollar", "S$", 0.74),
    "JPY": ("Japanese Yen", "¥", 0.0067),
    "AED": ("UAE Dirham", "AED", 0.2723),
    "ZAR": ("South African Rand", "R", 0.054),
}
_SMALL_RATE: Final = 0.5
#: The price of a line in an organization without items, in cents.
_PRICE_OF_WORK: Final = 8_500
#: The number of a customer's currency, of twenty customers.
_OF_CUSTOMERS: Final = (*[0] * 14, 1, 1, 1, 2, 2, 3)
#: Chances in 256, and the days from the due date within which those customers pay.
_PAYING: Final = ((150, -12, 0), (205, 1, 15), (225, 16, 30), (236, 31, 45), (248, 46, 140))
_LATE_DRAFTS: Final = 7
#: The higher, the more of the sales go to few customers.
_LARGEST_FIRST: Final = 2.5


class Party(msgspec.Struct, frozen=True):
    """What sales know of a contact. ``currency`` counts from the base currency."""

    id: str
    name: str
    is_vendor: bool
    terms: int
    currency: int


class CreditEvent(msgspec.Struct, frozen=True):
    """A credit note: when it was made, its total, and how much of it settled its invoice."""

    moment: int
    total: int
    applied: int


class Sale(msgspec.Struct, frozen=True):
    """An invoice and its events. Amounts are in cents of the party's currency.

    ``lines`` are the item's row number (None without items), the quantity and the price.
    ``receipts`` are the times and the amounts of payments.
    """

    index: int
    moment: int
    due: int
    party: Party
    rate: float
    lines: tuple[tuple[int | None, int, int], ...]
    total: int
    status: str
    modified: int
    receipts: tuple[tuple[int, int], ...] = ()
    credit: CreditEvent | None = None

    @property
    def paid(self) -> int:
        return sum(amount for _, amount in self.receipts)

    @property
    def credited(self) -> int:
        return self.credit.applied if self.credit is not None else 0

    @property
    def balance(self) -> int:
        return 0 if self.status == "void" else self.total - self.paid - self.credited


class Receipt(msgspec.Struct, frozen=True):
    """A payment of one invoice."""

    moment: int
    amount: int
    sale: int


class Sales:
    """The sales of one organization."""

    def __init__(self, world: SampleData) -> None:
        self._world: Final = world
        self._rows: Final = world.size(INVOICES)
        self._items: Final = world.size(ITEMS)
        self._contacts: Final = world.size(world.parties)
        self._parties: Final[dict[int, Party]] = {}
        self._prices: Final[dict[int, int]] = {}
        self._rates: Final[dict[tuple[int, str], float]] = {}
        self._decimals: Final[dict[int, int]] = {}
        self._today: Final = str(world.today)
        self._all: Sequence[Sale] | None = None

    # -- contacts, items and rates --------------------------------------------------------------

    def party(self, index: int) -> Party:
        """A contact."""
        known = self._parties.get(index)
        if known is None:
            world = self._world
            draw = world.draw(world.parties, index)
            known = self._parties[index] = Party(
                id=world.id(world.parties, index),
                name=world.party(index, draw),
                is_vendor=draw[6] % 5 == 0,
                terms=_TERMS[draw[7] % 4],
                currency=_OF_CUSTOMERS[draw[17] % 20] if index < self._contacts else 0,
            )
        return known

    def _customer(self, draw: bytes, share: float) -> Party:
        """The customer of a sale, one of those that the firm had at that time.

        The last fifth of the contacts has no documents, so that some can be deleted.
        """
        busy = self._contacts * 4 // 5
        if not busy:
            return Party("", "", is_vendor=False, terms=30, currency=0)
        known = min(busy, max(1, int(self._contacts * (IMPORTED + (1 - IMPORTED) * share)) - 2))
        first = int(known * (int.from_bytes(draw[0:4], "big") / 2**32) ** _LARGEST_FIRST)
        for step in range(known):
            party = self.party((first + step) % known)
            if not party.is_vendor:
                return party
        return self.party(0)

    def price(self, item: int) -> int:
        """The price of an item, in cents of the base currency."""
        known = self._prices.get(item)
        if known is None:
            draw = self._world.draw(ITEMS, item)
            known = int(500 * math.exp(int.from_bytes(draw[5:8], "big") / 2**24 * 4.5))
            self._prices[item] = known
        return known

    def rate(self, currency: int, on: str) -> float:
        """The value of one unit of a currency in the base currency, in the month of a day."""
        known = self._rates.get((currency, on[:7]))
        if known is None:
            months = int(on[:4]) * 12 + int(on[5:7])
            swing = 1 + 0.04 * math.sin(months / 5 + currency) if currency else 1.0
            digits = self._digits(currency)
            known = self._rates[currency, on[:7]] = round(
                self._world.rate(currency) * swing, digits
            )
        return known

    def _digits(self, currency: int) -> int:
        """The decimals of a currency's rates: few, so that amounts convert without rounding."""
        known = self._decimals.get(currency)
        if known is None:
            small = self._world.rate(currency) < _SMALL_RATE
            known = self._decimals[currency] = 4 if small else 2
        return known

    # -- sales ----------------------------------------------------------------------------------

    def sale(self, index: int) -> Sale:
        """The sale with a row number."""
        if self._all is not None and index < len(self._all):
            return self._all[index]
        world = self._world
        draw = world.draw(f"{INVOICES}/sale", index)
        moment = world.calendar.created(index, self._rows)
        share = min(index / max(self._rows, 1), 1.0)
        party = self._customer(draw, share)
        rate = self.rate(party.currency, day(moment))
        lines = self._lines(draw, share, party.currency, rate)
        total = sum([quantity * price for _, quantity, price in lines])
        due = moment + party.terms * _DAY
        status = self._first_status(draw, moment)
        receipts: list[tuple[int, int]] = []
        credit: CreditEvent | None = None
        if status == "sent":
            credit = self._credit(draw, moment, lines, total, party)
            left = total - (credit.applied if credit is not None else 0)
            for when, amount in self._plan(draw, moment, due, left):
                if when < world.calendar.end and amount:
                    receipts.append((when, amount))
                    left -= amount
            paid = bool(receipts) and not left
            if (
                credit is not None
                and not credit.applied
                and (not paid or receipts[-1][0] >= credit.moment)
            ):
                credit = None  # nothing was paid yet that could be given back
            if left < total:
                status = "partially_paid" if left else "paid"
            elif day(due) < self._today:
                status = "overdue"
        settled = credit.moment if credit is not None and credit.applied else moment
        modified = max(settled, receipts[-1][0]) if receipts else settled
        return Sale(
            index=index,
            moment=moment,
            due=due,
            party=party,
            rate=rate,
            lines=lines,
            total=total,
            status=status,
            modified=modified,
            receipts=tuple(receipts),
            credit=credit,
        )

    def _lines(
        self, draw: bytes, share: float, currency: int, rate: float
    ) -> tuple[tuple[int | None, int, int], ...]:
        """The lines of a sale, of items that the firm had at that time."""
        known = int(self._items * (IMPORTED + (1 - IMPORTED) * share)) - 2
        if known < 1:
            known = 1
        unit = 10 ** self._digits(currency)  # in cents: whole units, or hundreds of small ones
        lines: list[tuple[int | None, int, int]] = []
        for number in range(1 + draw[4] % 4):
            item = (draw[16 + 2 * number] << 8 | draw[17 + 2 * number]) % known
            price = self.price(item) if self._items else _PRICE_OF_WORK
            if currency:
                price = (round(price / rate / unit) or 1) * unit
            lines.append((item if self._items else None, 1 + draw[12 + number] % 9, price))
        return tuple(lines)

    def _first_status(self, draw: bytes, moment: int) -> str:
        if draw[5] < 5:
            return "void"
        late = self._world.calendar.end - moment < _LATE_DRAFTS * _DAY
        return "draft" if draw[5] < (60 if late else 10) else "sent"

    def _plan(self, draw: bytes, moment: int, due: int, amount: int) -> list[tuple[int, int]]:
        """When a customer pays which part. Payments are recorded in the evening."""
        chance = next((each for each in _PAYING if draw[6] < each[0]), None)
        if chance is None:
            return []
        _, least, most = chance
        days = (due - moment) // _DAY + least + draw[7] % (most - least + 1)
        evening = moment - (moment - self._world.calendar.end) % _DAY + 17 * 3600
        when = evening + max(days, 1) * _DAY + draw[8] % 60 * 60
        if draw[9] % 8:
            return [(when, amount)]
        part = amount * (30 + draw[10] % 41) // 100
        if draw[11] % 10 == 0:
            return [(when, part)]  # the rest is in dispute
        return [(when, part), (when + (20 + draw[11] % 41) * _DAY, amount - part)]

    def _credit(
        self,
        draw: bytes,
        moment: int,
        lines: tuple[tuple[int | None, int, int], ...],
        amount: int,
        party: Party,
    ) -> CreditEvent | None:
        """The credit note for one piece of the first line of some invoices."""
        if draw[30] % 24 or party.currency:
            return None
        end = self._world.calendar.end
        _, quantity, price = lines[0]
        total = price if quantity > 1 or len(lines) > 1 else max(price // 2, 1)
        if draw[31] % 3:
            when = moment + 3600 + draw[31] * 60
            return CreditEvent(when, total, total) if when < end and total < amount else None
        when = moment + (80 + draw[31] % 40) * _DAY
        return CreditEvent(when, total, 0) if when < end else None

    # -- events, in the order of their times ----------------------------------------------------

    @property
    def all(self) -> Sequence[Sale]:
        """Every sale."""
        if self._all is None:
            self._all = [self.sale(index) for index in range(self._rows)]
        return self._all

    @cached_property
    def receipts(self) -> Sequence[Receipt]:
        """The payments, oldest first."""
        found = [
            Receipt(moment, amount, sale.index)
            for sale in self.all
            for moment, amount in sale.receipts
        ]
        return sorted(found, key=lambda each: (each.moment, each.sale))

    @cached_property
    def _credits(self) -> Sequence[tuple[int, int]]:
        found = [(sale.credit.moment, sale.index) for sale in self.all if sale.credit is not None]
        return sorted(found)

    @cached_property
    def credits(self) -> Sequence[int]:
        """The row numbers of the sales with a credit note, oldest note first."""
        return [index for _, index in self._credits]

    @property
    def credit_moments(self) -> Sequence[int]:
        """The times of the credit notes, oldest first."""
        return [moment for moment, _ in self._credits]

    @cached_property
    def receipts_of(self) -> dict[int, list[int]]:
        """The numbers of the payments of each sale that has some."""
        found: dict[int, list[int]] = {}
        for number, receipt in enumerate(self.receipts):
            found.setdefault(receipt.sale, []).append(number)
        return found

    @cached_property
    def credit_of(self) -> dict[int, int]:
        """The number of the credit note of each sale that has one."""
        return {index: number for number, index in enumerate(self.credits)}

    @cached_property
    def open_amounts(self) -> dict[str, tuple[int, int]]:
        """The balances and the unused credits of each contact, by id, in cents of its currency."""
        found: dict[str, tuple[int, int]] = {}
        for sale in self.all:
            owed = sale.balance if sale.status not in ("draft", "void") else 0
            credit = sale.credit.total - sale.credit.applied if sale.credit is not None else 0
            if owed or credit:
                before = found.get(sale.party.id, (0, 0))
                found[sale.party.id] = before[0] + owed, before[1] + credit
        return found
