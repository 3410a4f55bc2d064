"""Other clients of an organization, heard from Zoho's own counter.

Model
-----
Each reply says how many calls the organization has left today. Limit minus remaining is a *counter*
of all its calls: at one moment between sending the request and receiving the reply, it had this
value. It rises by one per call, whichever client makes it. Calls of people in the web application
do not count there, so people cannot be heard. The places of ``Limits.burst`` and what Zoho's limit
leaves above T (below) stay for them.

A reading keeps the counter less our own calls. Own calls are not attributed one by one. Those that
were surely counted at the reading had their reply before its call was admitted; this gives the
``most`` that others can have made. Those that may be counted also include all calls open when the
reply came; this gives the ``least``. Both are counts since an unknown moment, so only differences
between readings mean something:

- Others made at most new.most - old.least calls between two readings, and at least
  new.least - old.most.
- The new reading is the last one. The old one is the newest that is a ``window`` old.
- The *rate* of others is the mean of both differences, by time. If the readings cover less than
  half of a window, it is that of half a window, because a few calls at once are no rate.
- The part of the window that the two readings do not cover is counted at that rate. This is the
  time since the last reading, and at first the time before the first one.

The others of this window are the sum. If the old reading is much older than a window, only their
average is known, and is used.

Rules
-----
Nothing changes as long as no other client was heard for 7 days. Once three calls are certain to be
of others, they share the minute with our own calls up to T:

- A bulk call is admitted if own places and others are at most T with it. For an interactive call,
  only others that readings show count, so that people do not wait for a guess: after 30 calls of
  another program in three seconds, the rate says that 57 came before. Nor do people wait behind
  bulk calls for what came before the first reading.
- Bulk calls get what is left: T - others - ``burst`` in a ``window``, evenly, and at least one.
  As long as own places and others are below T - ``burst``, only the others of the last quarter of
  the window count for the pace. So if others stop, bulk calls take over their places as these get
  free, and not a window later.
  If others use more than they leave, bulk calls claim two more. So two clients that hear each
  other come to equal shares. Of three or more, one may get little. A head start is only for calls
  after a pause, as far as others leave it.
- T is 80 of Zoho's 100 calls (`Limits.total`), and 65 for 24 hours after a 43 or 44.

Late replies, sent before the last reading came, are ignored. If the counter went back, if it has
another limit, or if it rose by more than Zoho would admit, hearing begins again. It has also ended
if the last reading is a window old. Then others count as none, without a head start. So whatever
the counter says, it stops an organization for about a window at most: no admission, no reading.
Bulk calls of one process may wait for longer if interactive calls of another process fill T.

What is promised
----------------
Let m be the moment of the last reading at the last own admission t. At that time own places and
others made at most T, so T calls at most were in the window. Let z be a later arrival. Own calls in
the window before z were all admitted by t and hold a place then. Others in that window are those of
the window before m, less those that left it, plus those that came after m. So Zoho's limit of 100
is not exceeded as long as

    others after m  <=  100 - T  +  rate x (t - m)  +  others that left the window since m.

Others before m that do not count at t count as others after m. If the readings do not cover the
window, these are the ones that the rate does not explain. If they cover much more, these are the
ones above the average. For an interactive call, they are all that came before the first reading,
and the rate is 0.

Others that keep to a bucket (at most sigma + rho x seconds in any interval) cause no refusal if the
readings cover the window, and own calls are bulk calls that were spread evenly for a window. With
blind time d = t - m plus the time to arrive, this holds if

    sigma + rho d <= 100 - T   and   2 rho window + sigma <= 100.

Let P be the own calls in the window at t. By z, at least P (z - t) / window of them have left. If
P >= rho window, they leave at least as fast as others come, so no more than T + sigma + rho d are
in the window. If P < rho window, there are at most P + sigma + rho window < 2 rho window + sigma.
The first condition alone is not enough: others that go from silence to T calls a minute fill the
window together with own calls that were admitted before.

Beyond this nothing is promised. What was sent cannot be recalled, so 60 calls that arrive at once
while 60 own calls are in the window are too many.

Unknown
-------
- Whether refused calls and calls with errors lower the count. Refused ones hold their place of the
  minute in any case.
- Whether each product has its own counter. If two counters take turns, most turns go back or jump,
  so hearing begins again and again, and nothing is heard. A jump that looks like calls is believed.
- What weighs more than one call. It looks like calls of others.
"""

from __future__ import annotations

from typing import Final

import msgspec

from zoho_async.limits.block import NEVER
from zoho_async.limits.models import Limits

#: Seconds for which others are remembered, and for which a block makes careful.
REMEMBERED: Final = 7 * 86_400.0
CAREFUL: Final = 86_400.0
#: Calls that must be of others before anything changes. One or two may be own calls that named no
#: organization.
CERTAIN: Final = 3
#: Readings kept per window.
KEPT: Final = 8
#: The shortest time to tell a rate from, as a part of the window.
SHORTEST: Final = 1 / 6
#: Calls of a shorter part of the window are spread over this part: a few at once are no rate.
SPREAD: Final = 1 / 2
#: The part of the window that tells whether others have stopped.
RECENT: Final = 1 / 4
#: An old reading of more windows shows an average only.
LONGEST: Final = 1.5
#: Calls in a window that are claimed from others that use more than they leave.
CLAIM: Final = 2.0
#: The clocks of ledgers are not exact, in seconds.
SOON: Final = 1e-6


class Reading(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Zoho's counter less our own calls, at a moment between ``sent`` and ``received``."""

    sent: float
    received: float
    least: int
    most: int


class Heard(msgspec.Struct, frozen=True, gc=False):
    """Calls of others in this window, their rate in calls a second, and T.

    ``seen`` is the part of the calls that readings show; the rest is a guess. ``bulk`` is the bulk
    calls that they leave in a ``window``, ``refill`` those by their latest rate. ``known``: whether
    readings tell a rate. ``covered``: whether they go back a ``window``.
    """

    seen: float
    calls: float
    rate: float
    total: int
    bulk: float
    refill: float
    known: bool
    covered: bool


class Others(msgspec.Struct):
    """What is known of other clients. Moments are monotonic.

    Attributes:
        limit: The daily limit that came with the readings.
        count: Calls that Zoho had counted at the last reading.
        readings: A few readings, the oldest first. At most one is older than a ``window``.
        known_until: Until when others that were heard are remembered.
        careful_until: Until when T is smaller, because of a block.
    """

    limit: int = 0
    count: int = 0
    readings: list[Reading] = []
    known_until: float = NEVER
    careful_until: float = NEVER

    def hear(
        self,
        limit: int,
        remaining: int,
        sent: float,
        received: float,
        counted: int,
        possible: int,
        sure_from: float,
        limits: Limits,
    ) -> None:
        """Add the counter of a reply.

        Args:
            limit: The daily limit in the reply.
            remaining: The calls left in the reply.
            sent: When its call was sent at the earliest.
            received: When the reply came at the latest.
            counted: Own calls that Zoho counted before, for sure.
            possible: Own calls that Zoho may have counted.
            sure_from: Since when every own call is in one of these numbers, or in both.
            limits: The limits of the organization.
        """
        count, window, readings = limit - remaining, limits.window, self.readings
        least = count - possible
        if readings:
            last = readings[-1]
            if sent < last.received:
                return
            windows = 1 + (received - last.sent) / window
            if (
                limit != self.limit
                or count < self.count
                or least - last.most > limits.capacity * windows
            ):
                readings.clear()  # calls alone cannot explain this step
            elif len(readings) > 1 and received < readings[-2].received + window / KEPT:
                del readings[-1]
        self.limit, self.count = limit, count
        readings.append(Reading(sent, received, least, count - counted))
        self._forget_old(received, window)
        if least - readings[0].most >= CERTAIN:
            old = next((each for each in readings if each.sent >= sure_from), None)
            if old is not None and least - old.most >= CERTAIN:
                self.known_until = received + REMEMBERED

    def _forget_old(self, now: float, window: float) -> None:
        """Keep one reading that is a window old."""
        readings = self.readings
        while len(readings) > 1 and readings[1].received <= now - window:
            del readings[0]

    def note_block(self, now: float) -> None:
        """Note a 43 or 44. T is smaller for a day, and applies once others are heard."""
        self.careful_until = now + CAREFUL

    def begin_again(self) -> None:
        """Forget the readings, because own calls since then are not known exactly."""
        self.readings.clear()

    def shift_clock(self, seconds: float) -> None:
        """Move all moments, after a restart of the machine. How long it took is not known."""
        self.begin_again()
        self.known_until += seconds
        self.careful_until += seconds

    def carry_over(self, lost: Others) -> None:
        """Remember what ``lost`` knew, by the same clock, but hear again."""
        self.begin_again()
        self.known_until = max(self.known_until, lost.known_until)
        self.careful_until = max(self.careful_until, lost.careful_until)

    def heard(self, limits: Limits, now: float) -> Heard:
        """Return the others of the window that ends ``now``."""
        window, readings = limits.window, self.readings
        total = limits.total_for(careful=now < self.careful_until)
        self._forget_old(now, window)
        if len(readings) < 2 or now > readings[-1].received + window - SOON:
            left = total - limits.burst
            return Heard(0.0, 0.0, 0.0, total, left, left, False, False)
        old, new = readings[0], readings[-1]
        span = new.received - old.received
        most, least = max(0, new.most - old.least), new.least - old.most
        rate = max(0.0, (most + least) / 2) / max(span, SPREAD * window)
        seen = most if span <= LONGEST * window else most * window / span
        before = max(0.0, old.received + window - now)
        unseen = before + now - new.sent
        left = total - limits.burst
        bulk = left - rate * window
        refill = left - self._recent_rate(window) * window
        # Else two clients that hear each other would keep any share that they began with.
        bulk += min(CLAIM, max(0.0, rate * window - bulk))
        known = span >= SHORTEST * window
        calls = seen + rate * unseen
        return Heard(seen, calls, rate, total, bulk, refill, known, before == 0)

    def _recent_rate(self, window: float) -> float:
        """Return the rate of the last `RECENT` part of the window, in calls a second."""
        new, old = self.readings[-1], self.readings[0]
        for each in self.readings:
            if new.received - each.received < RECENT * window:
                break
            old = each
        most, least = max(0, new.most - old.least), new.least - old.most
        return max(0.0, (most + least) / 2) / max(new.received - old.received, RECENT * window)

    def changes_in(self, limits: Limits, now: float) -> float:
        """Return the seconds until `heard` answers otherwise without a new reading."""
        readings = self.readings
        following = readings[1] if len(readings) > 2 else readings[-1]
        return max(SOON, following.received + limits.window - now)
