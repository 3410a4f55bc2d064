"""Whether the products of an organization share one daily counter, or each has a separate one.

Model
-----
Each reply of a product shows a daily limit and how many calls are left. Limit less calls left is a
*count*: at one moment between sending the request and receiving the reply, the product's counter
had this value. Within a day a counter only rises, whichever client calls. So replies of one counter
that follow each other show the same limit and never a lower count.

`ProductDays.hear` compares replies that follow each other, and only those of which the second was
sent after the first was received. So replies that overlap, or come out of order, show nothing. A
*turn* is two such replies of different products. It is against one counter if

- the limits differ, or
- both replies are of the same day, and the count fell.

Two products are *separate* after `CERTAIN` turns against one counter. They share one again after
`TOGETHER` turns in a row with the same limit, the same reset and a rising count, if the count rose
by at least as much as both products called meanwhile. These also end any doubt from earlier turns.

Until two products are separate, they count as one: the calls of both count in each one's quota, and
a call needs room in both. Once two of them are separate, each product has its own `DailyQuota`,
which takes its figures from the product's own replies. A third product, of which nothing is known,
still counts with both.

Invariant
---------
Two products that share a counter count as one, unless their common counter fell, or got another
limit, `CERTAIN` times between two of their turns without `TOGETHER` good turns in a row.

Why it holds
------------
Turns do not overlap in time, so one change of the common counter is within one turn at most. Every
other turn has the same limit and no lower count. Calls of other clients only raise the count. A
reset is no such change, because counts are only compared if both replies name the same reset, and
replies within `NEAR` seconds of it are not used.

No call is sent after a known quota in either case. While products count as one, that is because
each call counts in the smallest quota of all. When they become separate, each starts with the last
figure that its replies showed less its calls that may have come later: those that were open when it
came, and those that are open now. All others of its calls would be part of a later figure.

Unknown
-------
- Whether Zoho's products share the day. An Inventory with a limit that no Books plan has was seen,
  and no test of both products on one organization.
- Whether several servers of Zoho may show one counter with different delays. Then the count can
  fall without a change. Three such turns would separate the products, and at the end of the day
  calls of one would be refused with a 45, which ends that product's day.
- Whether products with different limits have one counter. They count as separate. So a call may be
  sent after calls of the other product used up the counter, and its 45 ends that product's day.
- Two counters with the same limit that happen to rise together. Their turns prove nothing, so they
  count as one, which only wastes calls.
- Which product a reply belonged to if its worker was taken for dead. Its figures are not used.
"""

from __future__ import annotations

from typing import Final

import msgspec

from zoho_async.limits.daily_quota import HOUR, DailyQuota

#: Turns against one counter after which two products are separate.
CERTAIN: Final = 3
#: Good turns in a row after which two products share one counter.
TOGETHER: Final = 20
#: Replies so close to the reset, in seconds, may show either day.
NEAR: Final = 60.0
#: Resets that differ by less, in seconds, are the same: replies take time, and clocks differ.
SAME: Final = 120.0


class Figure(msgspec.Struct, frozen=True, array_like=True):
    """A product's daily limit and the calls left, as a reply showed them.

    ``received`` is monotonic, ``reset_at`` wall-clock. ``open_calls``: calls that were open then.
    """

    product: str
    limit: int
    remaining: int
    received: float
    reset_at: float | None
    open_calls: int

    @property
    def count(self) -> int:
        """The calls of the day."""
        return self.limit - self.remaining

    def is_of_day(self, other: Figure) -> bool:
        """Return whether both are known to be of one day."""
        if self.reset_at is None or other.reset_at is None:
            return False
        return abs(self.reset_at - other.reset_at) < SAME


class Pair(msgspec.Struct):
    """What is known of two products.

    ``against``: turns against one counter. ``turns``: good turns in a row. ``from_count`` is the
    count before these, and ``calls`` how many calls of both products it surely has risen by.
    """

    products: tuple[str, str]
    separate: bool = False
    against: int = 0
    turns: int = 0
    from_count: int = 0
    calls: int = 0

    def restart(self) -> None:
        """Begin a new row of good turns."""
        self.turns = 0

    def note_turn(self, last: Figure, figure: Figure) -> None:
        """Note that ``figure`` followed ``last``, which is of the other product."""
        if figure.limit != last.limit or (figure.is_of_day(last) and figure.count < last.count):
            self.against += 1
            self.separate = self.separate or self.against >= CERTAIN
            self.restart()
        elif figure.is_of_day(last) and figure.count > last.count:
            if not self.turns:
                self.from_count, self.calls = last.count, 1 - last.open_calls
            self.turns += 1
            if self.turns >= TOGETHER:
                if figure.count - self.from_count >= self.calls - figure.open_calls:
                    self.separate, self.against = False, 0
                self.restart()
        else:
            self.restart()


class ProductDays(msgspec.Struct):
    """What is known of the products' counters.

    Attributes:
        last: The last figure that was compared.
        pairs: What is known of each two products of which one followed the other.
        days: The quota of each product, once two products are separate. Empty before.
    """

    last: Figure | None = None
    pairs: list[Pair] = []
    days: dict[str, DailyQuota] = {}

    def hear(self, figure: Figure, sent: float) -> Figure | None:
        """Compare the figure of a reply to a call that was ``sent`` then.

        Returns the figure before it if the products of both are separate, else None.
        """
        last = self.last
        if last is not None and last.product == figure.product and not self.pairs:
            if sent >= last.received:
                self.last = figure
            return None
        for pair in self.pairs:
            if pair.turns and figure.product in pair.products:
                pair.calls += 1
        if last is not None and sent < last.received:
            return None
        self.last = figure
        if last is None or last.product == figure.product:
            return None
        pair = self._pair(last.product, figure.product)
        pair.note_turn(last, figure)
        return last if pair.separate else None

    def of(self, product: str) -> list[DailyQuota]:
        """Return the quotas that a call of ``product`` counts in.

        They are its own and those of products that may share it.
        """
        return [
            day
            for name, day in self.days.items()
            if name == product or not self._is_separate(name, product)
        ]

    def count(self, product: str, wall: float) -> None:
        """Count a call of ``product`` ("" if not known) that was sent without this ledger."""
        for day in self.of(product):
            day.count(wall)

    def own(self, product: str) -> list[DailyQuota]:
        """Return the quota that a refusal of ``product`` ends: its own if it has one."""
        found = self.days.get(product)
        return self.of(product) if found is None else [found]

    def start(self, figure: Figure, total: DailyQuota, later: int, wall: float) -> None:
        """Start the quota of a product with its last figure, if it has none.

        ``total`` has counted the calls of all products. ``later``: calls that may have come later
        than the figure.
        """
        if figure.product in self.days:
            return
        hour, used = int(wall // HOUR), min(total.used, figure.count)
        self.days[figure.product] = DailyQuota(
            used=used,
            hour=hour,
            hours={hour: used},
            limit=figure.limit,
            left=figure.remaining - later,
            reset_at=total.reset_at if figure.reset_at is None else figure.reset_at,
            predicted=total.predicted and figure.reset_at is None,
            renewed=total.renewed,
        )

    def shift_clock(self, seconds: float) -> None:
        """Move all monotonic moments, after a restart of the machine."""
        self.last = None
        for day in self.days.values():
            day.renewed += seconds
            day.refused += seconds

    def merge(self, memory: ProductDays, sent: int, now: float) -> None:
        """Enter at ``now`` what a worker remembers of products that Redis lost.

        ``sent``: calls since then, which may be of any product.
        """
        self.last = None
        if not self.pairs:
            self.pairs = memory.pairs
        for product, day in memory.days.items():
            known = self.days.setdefault(product, day)
            for each in (known, day):
                each.pass_time(now, now, 0)  # a day that has ended says nothing of this one
            if day.left is not None:
                left = day.left - sent
                known.left = left if known.left is None else min(known.left, left)
            known.used = max(known.used, day.used + sent)
            if day.spent:
                known.spent, known.refused = True, max(known.refused, day.refused)
            known.probe_at = max(known.probe_at, day.probe_at)

    def _pair(self, one: str, other: str) -> Pair:
        products = (one, other) if one < other else (other, one)
        for pair in self.pairs:
            if pair.products == products:
                return pair
        self.pairs.append(Pair(products))
        return self.pairs[-1]

    def _is_separate(self, one: str, other: str) -> bool:
        return any(
            pair.separate and one in pair.products and other in pair.products for pair in self.pairs
        )
