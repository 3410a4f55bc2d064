"""A model of workers, a ledger and Zoho, small enough to search all of it.

Time passes in steps, and the present is always 0. The ledger is a `Usage`, which the functions of
`zoho_async.limits` change. Zoho and the workers are modeled here, without code of the limits.

Premises
--------
- A request arrives in any step from its sending on. If its caller gives it up, its worker dies or
  is taken for dead, or the ledger forgets it, then it arrives within `LINGER` of its sending, or
  never.
- An admitted call is sent within the lease, or never.
- Zoho's minute lasts as long as ``Limits.window`` by a clock that drifts as far as ``DRIFT``
  allows. It is set to `Setup.drift`, which makes all moments whole steps.
- A worker's reading of the ledger's clock is late by at most ``Setup.skew``. The ledger's time
  never goes back, and an ending says how far it may be off.

Not searched here: the limit of calls in flight, blocks and the day. The state leaves them out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from zoho_async.limits import Lane, Limits, recovery
from zoho_async.limits import usage as usages
from zoho_async.limits.block import NEVER
from zoho_async.limits.daily_quota import DailyQuota
from zoho_async.limits.usage import Denial, Ending, LoggedCall, Usage

LIMIT: Final = 3
LINGER: Final = 1

ADMITTED, SENT, ARRIVED, ARRIVED_LATE = range(4)
#: The owner of the calls of dead workers, and the place of a call that the ledger does not know.
DEAD: Final = "dead"
UNKNOWN: Final = 0
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Usage)


@dataclass(frozen=True)
class Setup:
    """The bounds of a search.

    Attributes:
        calls: How many calls each worker may wait for.
        minute: Steps of Zoho's minute. ``Limits.window`` is one step less.
        faults: Which of "lose", "unsent", "crash" and "silent" may happen.
        burst: ``Limits.burst``. If it is below `LIMIT`, bulk calls are spread.
        lease: Steps after which a silent worker may be taken for dead.
        lapse: None: dead workers are known. Else a place is abandoned at this age, as if its call
            was sent then.
        skew: How late a reading of the ledger's clock may be.
        wait: How long a ledger that forgot all calls gives no place. None: it forgets none.
    """

    workers: int = 2
    calls: int = 2
    minute: int = 2
    faults: frozenset[str] = frozenset()
    lanes: tuple[Lane, ...] = ("interactive",)
    burst: int = LIMIT
    lease: int = 1
    lapse: int | None = None
    skew: int = 0
    wait: float | None = None

    @property
    def limits(self) -> Limits:
        return Limits(
            limit=LIMIT,
            burst=self.burst,
            window=self.minute - 1,
            linger=LINGER,
            in_flight=10 * LIMIT,
        )

    @property
    def drift(self) -> float:
        """How much longer a minute may be than ``Limits.window``."""
        return self.minute / (self.minute - 1)


class Call(NamedTuple):
    """A call that its worker waits for. ``age``: since it was admitted, then since it was sent."""

    worker: int
    place: int
    phase: int
    age: int


class State(NamedTuple):
    """All that decides what may happen next.

    Attributes:
        log: The usage.
        strays: For each request that was given up and may still arrive, the steps that are left.
        arrived: The ages of the arrivals of the last minute.
        bulk: The ages of the bulk admissions of the last window.
        wait: How long the ledger gives no place.
        late: How late the ledger's time is.
    """

    log: bytes
    calls: tuple[Call, ...] = ()
    strays: tuple[int, ...] = ()
    arrived: tuple[int, ...] = ()
    bulk: tuple[int, ...] = ()
    wait: float = 0.0
    late: int = 0


class Event(NamedTuple):
    """What happens to call or worker ``subject``. The worker's clock is ``late`` and ``unsure``."""

    kind: str
    subject: int = 0
    lane: Lane = "interactive"
    late: int = 0
    unsure: int = 0
    place: int = UNKNOWN


START: Final = State(_ENCODER.encode(Usage()))


def is_forbidden(state: State) -> bool:
    """Judge a state: more arrivals in a minute, or more bulk calls in a window, than allowed.

    A rolling minute is checked as it ends with each step. A fixed minute of any phase is one of
    them.
    """
    return len(state.arrived) > LIMIT or len(state.bulk) > LIMIT - 1


class Model:
    """The events of one setup. They call the functions that are the modules' own at that time."""

    def __init__(self, setup: Setup) -> None:
        self.setup: Final = setup
        self.limits: Final = setup.limits
        aging = setup.faults & {"silent", "crash"} or setup.wait is not None
        self.oldest_call: Final = (setup.lease + 1 if aging else 0, *[LINGER + 1] * 3)
        #: An open place that is older behaves as one of this age.
        self.oldest: Final = float(-setup.lapse - LINGER - setup.minute if setup.lapse else 0)

    def follow(self, state: State) -> Iterator[tuple[Event, State]]:
        """Return each event that is possible in ``state``, and the state after it."""
        for event in self.events(state):
            world = World(self, state)
            if world.apply(event):
                yield event, world.pack()

    def events(self, state: State) -> Iterator[Event]:
        setup = self.setup
        yield Event("time passes")
        readings = self.readings(state)
        if state.wait <= 0:
            for worker in range(setup.workers):
                if sum(call.worker == worker for call in state.calls) < setup.calls:
                    for lane in setup.lanes:
                        for late, unsure in readings:
                            yield Event("take", worker, lane, late, unsure)
        for number, call in enumerate(state.calls):
            known = call.place != UNKNOWN
            if call.phase == ADMITTED:
                if call.age <= setup.lease:
                    yield Event("send", number)
                if "unsent" in setup.faults:
                    yield Event("unsent", number)
                continue
            if call.phase == SENT:
                if known or call.age <= LINGER:
                    yield Event("arrive", number)
            else:
                for late, unsure in readings:
                    yield Event("reply", number, "interactive", late, unsure)
                if not known and setup.wait is not None:
                    for other in state.calls:
                        if other.worker != call.worker and other.place != UNKNOWN:
                            yield Event("reply", number, "interactive", place=other.place)
            if call.age <= LINGER and "lose" in setup.faults:
                # Given up later, its place is free at the same moment.
                for late, unsure in readings:
                    yield Event("lose", number, "interactive", late, unsure)
        for left in sorted(set(state.strays)):
            yield Event("stray arrives", left)
        for worker in range(setup.workers):
            own = [call for call in state.calls if call.worker == worker]
            if own and all(call.phase != ARRIVED_LATE for call in own):
                if "crash" in setup.faults:
                    yield Event("crash", worker)
                if "silent" in setup.faults and all(
                    call.age >= setup.lease for call in own if call.phase == ADMITTED
                ):
                    yield Event("silent", worker)
        yield Event("notice")
        if setup.wait is not None and all(call.phase != ARRIVED_LATE for call in state.calls):
            yield Event("forget")

    def readings(self, state: State) -> list[tuple[int, int]]:
        """Return how late a worker may read the ledger's clock, and how unsure it is."""
        skew = self.setup.skew
        if not skew:
            return [(0, 0)]
        return [(0, 0), *((late, skew) for late in range(min(skew, state.late) + 1))]


class World:
    """A state that an event changes. ``names`` are those of its calls, for people."""

    def __init__(self, model: Model, state: State, names: list[str] | None = None) -> None:
        self.model = model
        self.usage = _DECODER.decode(state.log)
        self.calls = list(state.calls)
        self.strays = list(state.strays)
        self.arrived = list(state.arrived)
        self.bulk = list(state.bulk)
        self.wait = state.wait
        self.late = state.late
        self.names = [""] * len(self.calls) if names is None else names

    def apply(self, event: Event) -> bool:
        """Apply ``event``. Returns False if it changes nothing, as a call that is not admitted."""
        subject = event.subject
        match event.kind:
            case "time passes":
                self.pass_time()
            case "take":
                return self.take(event)
            case "send":
                call = self.calls[subject]
                self.calls[subject] = call._replace(phase=SENT, age=0)
            case "arrive":
                call = self.calls[subject]
                late = call.age > LINGER
                self.calls[subject] = call._replace(phase=ARRIVED_LATE if late else ARRIVED)
                self.arrived.append(0)
            case "unsent":
                self.settle(event, Ending("unsent"))
            case "reply":
                age = float(self.calls[subject].age)
                self.settle(event, Ending("replied", age, unsure=event.unsure))
            case "lose":
                call = self.calls[subject]
                self.give_up(call)
                self.settle(event, Ending("lost", float(call.age), unsure=event.unsure))
            case "stray arrives":
                self.strays.remove(subject)
                self.arrived.append(0)
            case "crash":
                self.crash(subject)
            case "silent":
                verdict = None if self.model.setup.lapse else False
                return self.expire(str(subject), verdict)
            case "notice":
                return self.expire(DEAD, False)
            case _:
                self.usage = Usage()
                self.wait, self.late = self.model.setup.wait or 0.0, self.model.setup.skew
        return True

    def pass_time(self) -> None:
        recovery.shift_clock(self.usage, -1.0)
        setup = self.model.setup
        self.calls = [
            call._replace(age=min(call.age + 1, self.model.oldest_call[call.phase]))
            for call in self.calls
        ]
        self.strays = [left - 1 for left in self.strays if left > 0]
        self.arrived = [age + 1 for age in self.arrived if age + 1 < setup.minute]
        self.bulk = [age + 1 for age in self.bulk if age + 1 < self.model.limits.window]
        self.wait = max(0.0, self.wait - 1)
        self.late = min(self.late + 1, setup.skew)

    def take(self, event: Event) -> bool:
        usage, owner = self.usage, str(event.subject)
        now = float(-event.late)
        place = usages.take(usage, usage, event.lane, self.model.limits, now, 0.0, owner)
        if isinstance(place, Denial):
            return False
        self.calls.append(Call(event.subject, place, ADMITTED, 0))
        self.names.append("")
        if event.lane == "bulk" and self.model.limits.burst < LIMIT:
            self.bulk.append(0)
        self.late = event.late
        return True

    def settle(self, event: Event, ending: Ending) -> None:
        call = self.calls.pop(event.subject)
        del self.names[event.subject]
        usage, owner = self.usage, str(call.worker)
        place = event.place or call.place
        now = float(-event.late)
        usages.settle(usage, usage, place, ending, self.model.limits, now, 0.0, owner)
        self.late = event.late

    def give_up(self, call: Call) -> None:
        """Leave the request of ``call`` on its way."""
        if call.phase == SENT and call.age <= LINGER:
            self.strays.append(LINGER - call.age)

    def crash(self, worker: int) -> None:
        """End the worker. Another one starts."""
        for number in reversed(range(len(self.calls))):
            if self.calls[number].worker == worker:
                self.give_up(self.calls.pop(number))
                del self.names[number]
        for place, opened in self.usage.open.items():
            if opened.owner == str(worker):
                self.usage.open[place] = LoggedCall(opened.taken, DEAD)

    def expire(self, owner: str, verdict: bool | None) -> bool:
        def alive(name: str) -> bool | None:
            return verdict if name == owner else True

        self.late = 0
        return recovery.expire_dead_owners(self.usage, alive, self.model.limits, 0.0)

    def pack(self) -> State:
        """Return the state in the form that it shares with all states that behave alike.

        Workers and calls are sorted and places are numbered in that order. Moments that no longer
        matter are left out.
        """
        self._sort_calls()
        usage, past = self.usage, float(-self.model.setup.skew)
        # If more places are taken than there are, the first of them to be free do not matter.
        usage.held = sorted(moment for moment in usage.held if moment > past)[-LIMIT:]
        usage.bulk = sorted(moment for moment in usage.bulk if moment > past)
        usage.bucket_full_at = usage.bucket_full_at if usage.bucket_full_at > past else NEVER
        usage.abandoned, usage.slowest = [], 0.0
        usage.started = usage.paced = NEVER
        usage.day = DailyQuota()
        # Only for hearing others, and no reply here has a counter.
        usage.replied, usage.unsure_until = 0, NEVER
        return State(
            _ENCODER.encode(usage),
            tuple(self.calls),
            tuple(sorted(self.strays)),
            tuple(sorted(self.arrived)),
            tuple(sorted(self.bulk)),
            self.wait,
            self.late,
        )

    def _sort_calls(self) -> None:
        usage, oldest = self.usage, self.model.oldest
        rows: list[list[tuple[int, int, float, int]]] = [
            [] for _ in range(self.model.setup.workers)
        ]
        for number, call in enumerate(self.calls):
            opened = usage.open.get(call.place)
            known = opened is not None and opened.owner == str(call.worker)
            taken = max(opened.taken, oldest) if opened is not None and known else 1.0
            rows[call.worker].append((call.phase, call.age, taken, number))
        for row in rows:
            row.sort()
        rows.sort(key=lambda row: [each[:3] for each in row])
        calls, places, names = list[Call](), dict[int, LoggedCall](), list[str]()
        for worker, row in enumerate(rows):
            for phase, age, taken, number in row:
                place = UNKNOWN
                if taken <= 0:
                    place = len(places) + 1
                    places[place] = LoggedCall(taken, str(worker))
                calls.append(Call(worker, place, phase, age))
                names.append(self.names[number])
        for taken in sorted(each.taken for each in usage.open.values() if each.owner == DEAD):
            places[len(places) + 1] = LoggedCall(max(taken, oldest), DEAD)
        usage.open, usage.serial = places, len(places)
        self.calls, self.names = calls, names


def timeline(model: Model, path: list[Event]) -> str:
    """Return ``path`` for people: one line per event, with the moment of each."""
    state, names, lines, moment, given = START, list[str](), list[str](), 0, 0
    for event in path:
        world = World(model, state, names)
        who = f"worker {event.subject}"
        if event.kind in ("send", "unsent", "arrive", "reply", "lose"):
            who = names[event.subject]
        assert world.apply(event)
        if event.kind == "take":
            given += 1
            world.names[-1] = f"call {given}"
            who = f"call {given} ({event.lane})"
        elif event.kind in ("forget", "notice", "stray arrives"):
            who = ""
        if event.kind == "time passes":
            moment += 1
        else:
            clock = f", clock {event.late} late, {event.unsure} unsure" * bool(event.unsure)
            lines.append(f"{moment:3}  {event.kind:13} {who}{clock}".rstrip())
        state = world.pack()
        names = world.names
    lines.append(f"     {len(state.arrived)} arrivals and {len(state.bulk)} bulk calls in a minute")
    return "\n".join(lines)
