"""The judges of the promises. They see what Zoho saw and what callers got, and nothing else.

Model: a judge is a function of plain values: arrivals at Zoho (`zoho.Arrival`), the truth of its
books (`books.Book`), and what the workload returned. It imports nothing of the package. Each adds
its checks and what is broken to a `Findings`, so that a promise that is never checked is seen.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, TypeAlias

from tests.judges.arrivals import most_in_flight, worst_window
from tests.judges.days import DayJudge
from tests.simulation.assumptions import Manners
from tests.simulation.books import Book, Written
from tests.simulation.promises import PROMISES
from tests.simulation.quotas import Block
from tests.simulation.zoho import Arrival

#: Shortest block by the documents, in seconds, if Zoho does not say how long it lasts.
FIRST_BLOCK: Final = 900.0
#: Calls that Zoho admits in a minute.
ZOHO_LIMIT: Final = 100

Outcome: TypeAlias = Literal["returned", "ambiguous", "refused", "cut off"]


@dataclass(frozen=True, slots=True)
class Broken:
    """A broken promise: which, when, and the evidence."""

    promise: str
    at: float
    sentence: str
    evidence: tuple[str, ...] = ()


@dataclass
class Findings:
    """Checks by promise, and what is broken."""

    checks: Counter[str] = field(default_factory=Counter[str])
    broken: list[Broken] = field(default_factory=list[Broken])

    def check(self, promise: str, times: int = 1) -> None:
        assert promise in PROMISES, promise
        self.checks[promise] += times

    def say(self, promise: str, at: float, sentence: str, *evidence: str) -> None:
        assert promise in PROMISES, promise
        self.broken.append(Broken(promise, at, sentence, evidence))


class Reporter(Protocol):
    """The part of a world that takes findings."""

    def check(self, promise: str, times: int = 1) -> None: ...

    def violation(self, promise: str, sentence: str, *evidence: str) -> None: ...


def report(findings: Findings, world: Reporter) -> None:
    """Hand findings over to the world."""
    for promise, times in findings.checks.items():
        world.check(promise, times)
    for one in findings.broken:
        world.violation(one.promise, f"at {one.at:.3f}: {one.sentence}", *one.evidence)


# -- P1: never over a limit -------------------------------------------------------------------


def _by_ledger(
    arrivals: Iterable[Arrival], ledgers: Mapping[str, str]
) -> dict[tuple[str, str], list[Arrival]]:
    """The arrivals that were sent once, by organization and ledger. A worker without is alone."""
    found: dict[tuple[str, str], list[Arrival]] = {}
    for one in arrivals:
        if not one.copied:
            key = one.organization, ledgers.get(one.worker, one.worker)
            found.setdefault(key, []).append(one)
    return found


def judge_minute(
    findings: Findings,
    arrivals: Iterable[Arrival],
    *,
    limit: int,
    window: float = 60.0,
    ledgers: Mapping[str, str] | None = None,
) -> None:
    """P1 minute. ``ledgers`` names the ledger of each worker."""
    for (organization, ledger), calls in _by_ledger(arrivals, ledgers or {}).items():
        moments = [one.at for one in calls]
        findings.check("P1 minute", len(moments))
        worst = worst_window(moments, window)
        if worst > limit:
            at = _end_of_worst(moments, window, limit)
            findings.say(
                "P1 minute",
                at,
                f"{worst} calls of ledger {ledger!r} in {window:g} s, more than {limit}",
                f"organization {organization}",
                *[f"{one.at:.3f} {one.worker} {one}" for one in calls if at - 3 < one.at <= at],
            )


def _end_of_worst(moments: Sequence[float], window: float, limit: int) -> float:
    """The first moment at which more than ``limit`` calls were in a window."""
    ordered = sorted(moments)
    for place in range(limit, len(ordered)):
        if ordered[place] - ordered[place - limit] < window:
            return ordered[place]
    return ordered[-1]


def judge_in_flight(
    findings: Findings,
    arrivals: Iterable[Arrival],
    *,
    limit: int,
    answered: Iterable[int],
    ledgers: Mapping[str, str] | None = None,
) -> None:
    """P1 in flight. ``answered`` are the numbers of the arrivals whose replies came."""
    known = frozenset(answered)
    for (organization, ledger), calls in _by_ledger(arrivals, ledgers or {}).items():
        spans = [(one.at, one.until) for one in calls if one.number in known]
        findings.check("P1 in flight", len(spans))
        most = most_in_flight(spans)
        if most > limit:
            findings.say(
                "P1 in flight",
                max((begin for begin, _ in spans), default=0.0),
                f"{most} calls of ledger {ledger!r} at once, more than {limit}",
                f"organization {organization}",
            )


def judge_day(
    findings: Findings,
    arrivals: Iterable[Arrival],
    *,
    start: float,
    zone: str,
    limit: int,
    per_product: bool = False,
    ledgers: Mapping[str, str] | None = None,
) -> None:
    """P1 day. ``start`` is the wall clock when the virtual one is 0."""
    for (organization, ledger), calls in _by_ledger(arrivals, ledgers or {}).items():
        days: dict[str, DayJudge] = {}
        for one in calls:
            key = one.product if per_product else ""
            judge = days.setdefault(key, DayJudge(zone, limit))
            findings.check("P1 day")
            if not judge.arrive(start + one.at):
                findings.say(
                    "P1 day",
                    one.at,
                    f"more than {limit} calls of ledger {ledger!r} in a day",
                    f"organization {organization} {key}",
                )
                break


def judge_tokens(
    findings: Findings, asked: Iterable[tuple[float, str]], *, most: int = 10, period: float = 600.0
) -> None:
    """P1 tokens. ``asked`` has the moment of each request and its refresh token."""
    by_token: dict[str, list[float]] = {}
    for at, token in asked:
        by_token.setdefault(token, []).append(at)
    for moments in by_token.values():
        findings.check("P1 tokens", len(moments))
        if worst_window(moments, period) > most:
            findings.say(
                "P1 tokens",
                _end_of_worst(moments, period, most),
                f"{worst_window(moments, period)} token requests in {period:g} s",
            )


# -- P2: no block, and silence in it ----------------------------------------------------------


def judge_blocks(
    findings: Findings,
    blocks: Iterable[Block],
    *,
    arrivals: int,
    limit: int,
    zoho_limit: int = ZOHO_LIMIT,
) -> None:
    """P2 no block. ``blocks`` are those of one organization whose callers share a ledger."""
    findings.check("P2 no block", arrivals)
    for block in blocks:
        others = block.others + block.clicks
        if others <= zoho_limit - limit:
            findings.say(
                "P2 no block",
                block.at,
                f"a block began with {block.own} own calls and {others} of others in the minute",
            )


@dataclass(frozen=True, slots=True)
class Heard:
    """A refusal with 43 or 44 that a caller got. ``retry_after`` is Zoho's, None without one."""

    at: float
    worker: str
    organization: str
    retry_after: float | None = None


def judge_silence(
    findings: Findings,
    arrivals: Iterable[Arrival],
    heard: Iterable[Heard],
    *,
    linger: float = 30.0,
    ledgers: Mapping[str, str] | None = None,
) -> None:
    """P2 silence: no arrival in a block that the ledger knows, but those sent before.

    The refusals of calls that were sent before belong to the same block.
    """
    ledgers = ledgers or {}
    by_ledger = _by_ledger(arrivals, ledgers)
    began: dict[tuple[str, str], float] = {}
    for one in sorted(heard, key=lambda each: each.at):
        key = one.organization, ledgers.get(one.worker, one.worker)
        if one.retry_after is None and one.at <= began.get(key, -math.inf) + linger:
            continue
        began[key] = one.at
        lasts = FIRST_BLOCK if one.retry_after is None else one.retry_after
        findings.check("P2 silence")
        early = [
            call
            for call in by_ledger.get(key, ())
            if one.at + linger < call.at < one.at + lasts - 1.0
        ]
        if early:
            findings.say(
                "P2 silence",
                early[0].at,
                f"{len(early)} calls in a block of {lasts:g} s that was known since {one.at:.3f}",
                *map(str, early[:3]),
            )


# -- P3: nothing lost or doubled, or said so --------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reading:
    """What a loop over a list returned.

    ``since`` and ``until`` are the numbers of requests before it began and when it ended. ``state``
    is its completeness, "" if it ended with an error or was left. ``names`` are the values of the
    field that names a record, None if they were not read. ``status`` is the filter that was asked.
    """

    resource: str
    since: int
    until: int
    ids: tuple[str, ...]
    state: str
    names: tuple[str, ...] | None = None
    status: str = ""
    at: float = 0.0


def judge_reading(findings: Findings, reading: Reading, book: Book, manners: Manners) -> None:
    """P3 of one loop: once, proven, whole, honest."""
    ids = [one for one in reading.ids if one]
    _judge_once(findings, reading, ids, book)
    if not reading.state:
        return
    got = frozenset(ids)
    if reading.state == "proven" and can_be_proven(manners):
        findings.check("P3 proven")
        if not was_complete(book, got, reading):
            lost = _certainly_lost(book, got, reading)
            findings.say(
                "P3 proven",
                reading.at,
                f"{reading.resource} is proven with {len(got)} records, and at no moment were "
                "these all",
                f"there all the time, and not returned: {sorted(lost)[:5]}",
                f"requests {reading.since} to {reading.until}",
            )
    if reading.status or not is_steady(manners):
        return
    if book.changes(reading.since, reading.until):
        return
    findings.check("P3 whole")
    there = book.ids_at(reading.until)
    if got != there:
        findings.say(
            "P3 whole",
            reading.at,
            f"{reading.resource}, a steady list of {len(there)}, was read as {len(got)} records",
            f"state {reading.state}, requests {reading.since} to {reading.until}",
        )
    if is_honest(manners) and _are_old(book, reading):
        findings.check("P3 honest")
        if reading.state != "proven":
            findings.say(
                "P3 honest",
                reading.at,
                f"{reading.resource}, an honest list that did not change, is {reading.state}",
                f"requests {reading.since} to {reading.until}",
            )


def _judge_once(findings: Findings, reading: Reading, ids: Sequence[str], book: Book) -> None:
    findings.check("P3 once", len(ids))
    doubled = [one for one, times in Counter(ids).items() if times > 1]
    if doubled:
        findings.say("P3 once", reading.at, f"{reading.resource} came twice: {doubled[:5]}")
    invented = [
        one
        for one in ids
        if one not in book.records
        or book.records[one].born > reading.until
        or (book.records[one].died or reading.until + 1) <= reading.since
    ]
    if invented:
        findings.say("P3 once", reading.at, f"{reading.resource} never were: {invented[:5]}")
        return
    field_ = book.resource.name
    for one, name in zip(reading.ids, reading.names or (), strict=bool(reading.names)):
        if one and name != str(book.records[one].fields.get(field_, "")):
            findings.say(
                "P3 once",
                reading.at,
                f"{reading.resource} {one} came with another {field_}: {name}",
            )


def can_be_proven(manners: Manners) -> bool:
    """Whether the documents' assumptions hold under which a proven list is complete."""
    if manners.total == "too small":
        return False
    gives_count = manners.total != "none" and (
        manners.option == "honored" or manners.total == "unasked"
    )
    lacks_rows = bool(manners.empty or manners.bare)
    return abs(manners.skew) < 10.0 and (gives_count or not lacks_rows)


def is_steady(manners: Manners) -> bool:
    """Whether a list that does not change must be read whole."""
    if manners.ties != "steady" or manners.ignores or manners.empty or manners.bare:
        return False
    if manners.total == "too small" and manners.more not in ("honest", "always"):
        return False  # two of the three signs of the end are wrong and agree
    return manners.context or manners.largest_page >= 200


def is_honest(manners: Manners) -> bool:
    """Whether a steady list must be proven."""
    counts = manners.total == "unasked" or (
        manners.total == "honest" and manners.option == "honored"
    )
    return (
        is_steady(manners)
        and counts
        and manners.times
        and manners.dates
        and manners.context
        and not manners.nameless
        and not manners.noun
        and abs(manners.skew) < 5.0
    )


def was_complete(book: Book, got: frozenset[str], reading: Reading) -> bool:
    """Whether ``got`` has all records of one moment of the reading."""
    first = reading.since + 1
    moments = [first, *book.changes(first, reading.until)]
    return any(book.ids_at(each, status=reading.status) <= got for each in moments)


def _certainly_lost(book: Book, got: frozenset[str], reading: Reading) -> frozenset[str]:
    first = reading.since + 1
    moments = [first, *book.changes(first, reading.until)]
    there = book.ids_at(first, status=reading.status)
    for each in moments:
        there &= book.ids_at(each, status=reading.status)
    return there - got


def _are_old(book: Book, reading: Reading) -> bool:
    """Whether all records were created, and last changed, a minute before the reading."""
    newest = max((max(one.created, one.modified) for one in book.alive()), default=0.0)
    return newest + 60.0 < book.wall(reading.at)


def judge_export(
    findings: Findings,
    held: Sequence[str],
    state: str,
    book: Book,
    manners: Manners,
    *,
    since: int,
    until: int,
    at: float = 0.0,
) -> None:
    """P3 export of one list after one run. ``held`` are the ids of all rows of the destination."""
    findings.check("P3 export")
    doubled = [one for one, times in Counter(held).items() if one and times > 1]
    if doubled:
        findings.say("P3 export", at, f"{book.resource.path}: held twice: {doubled[:5]}")
    invented = [one for one in held if one and one not in book.records]
    if invented:
        findings.say("P3 export", at, f"{book.resource.path}: never were: {invented[:5]}")
    if state != "proven" or not can_be_proven(manners):
        return
    got = frozenset(held)
    reading = Reading(book.resource.path, since, until, tuple(held), state, at=at)
    if not was_complete(book, got, reading):
        lost = _certainly_lost(book, got, reading)
        findings.say(
            "P3 export",
            at,
            f"{book.resource.path} is proven, and at no moment of the run were its {len(got)} "
            "records all",
            f"there all the time, and not held: {sorted(lost)[:5]}",
            f"requests {since} to {until}",
        )


# -- P4: no write twice -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Intent:
    """A write that a workload asked for once. ``name`` is unique among the creates of its list.

    For other writes, ``record`` is the record's id. ``returned`` is the id that a create returned.
    "cut off": its worker was killed, or the caller gave up.
    """

    resource: str
    kind: Literal["create", "update", "delete", "status"]
    outcome: Outcome
    name: str = ""
    record: str = ""
    returned: str = ""
    at: float = 0.0


def judge_writes(
    findings: Findings,
    intents: Iterable[Intent],
    written: Iterable[Written],
    *,
    answered_in_order: bool = True,
) -> None:
    """P4 once and truth. No two intents may change one record in the same way.

    Not ``answered_in_order``: replies came that were not asked for, and a write may have got the
    reply of another call. Then its outcome says nothing.
    """
    creates: dict[tuple[str, str], list[Written]] = {}
    others: dict[tuple[str, str, str], list[Written]] = {}
    for one in written:
        if one.kind == "create":
            creates.setdefault((one.resource, one.name), []).append(one)
        else:
            others.setdefault((one.resource, one.kind, one.record), []).append(one)
    for intent in intents:
        if intent.kind == "create":
            done = creates.get((intent.resource, intent.name), [])
        else:
            done = others.get((intent.resource, intent.kind, intent.record), [])
        _judge_once_written(findings, intent, done)
        if answered_in_order:
            _judge_outcome(findings, intent, done)


def _judge_once_written(findings: Findings, intent: Intent, done: Sequence[Written]) -> None:
    findings.check("P4 once")
    if len(done) > 1:
        findings.say(
            "P4 once",
            intent.at,
            f"{_named(intent)} was carried out {len(done)} times",
            *map(_evidence, done),
        )


def _named(intent: Intent) -> str:
    return f"{intent.kind} of {intent.resource} {intent.name or intent.record}"


def _evidence(one: Written) -> str:
    return f"request {one.number} at {one.at:.3f}: record {one.record}"


def _judge_outcome(findings: Findings, intent: Intent, done: Sequence[Written]) -> None:
    what, evidence = _named(intent), [_evidence(one) for one in done]
    findings.check("P4 truth")
    if intent.outcome == "returned" and not done:
        findings.say("P4 truth", intent.at, f"{what} returned and did not happen")
    if intent.outcome == "refused" and done:
        findings.say("P4 truth", intent.at, f"{what} raised a refusal and happened", *evidence)
    if (
        intent.outcome == "returned"
        and intent.returned
        and done
        and intent.returned not in {one.record for one in done}
    ):
        findings.say("P4 truth", intent.at, f"{what} returned record {intent.returned}", *evidence)


def judge_import(
    findings: Findings,
    rows: Mapping[str, str],
    written: Iterable[Written],
    *,
    tokens_kept: bool = True,
    at: float = 0.0,
) -> None:
    """P4 import. ``rows`` has the state of each row by its unique name.

    States: "created", "unknown", "refused" and "" for not sent yet.
    """
    made = Counter(one.name for one in written if one.kind == "create")
    for name, state in rows.items():
        findings.check("P4 import")
        if made[name] > 1:
            findings.say("P4 import", at, f"row {name} is {made[name]} records")
        if state == "created" and not made[name]:
            findings.say("P4 import", at, f"row {name} is called created and is no record")
        if state == "refused" and made[name] and tokens_kept:
            findings.say("P4 import", at, f"row {name} is called refused and is a record")


# -- P5 and P6 --------------------------------------------------------------------------------


def judge_error(findings: Findings, error: BaseException, at: float) -> None:
    """P5 errors: by the names of its classes, so that nothing of the package is needed."""
    findings.check("P5 errors")
    if not any(each.__name__ == "ZohoError" for each in type(error).__mro__):
        findings.say("P5 errors", at, f"a caller got {type(error).__name__}: {error}")


def judge_secrets(
    findings: Findings, texts: Iterable[str], secrets: Iterable[str], at: float = 0.0
) -> None:
    """P6 secrets: no text of the package has one."""
    known = [one for one in secrets if len(one) > 5]
    for text in texts:
        findings.check("P6 secrets")
        shown = next((one for one in known if one in text), None)
        if shown is not None:
            findings.say("P6 secrets", at, f"a text shows a secret: {text.replace(shown, '...')}")
