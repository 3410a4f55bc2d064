"""Deliberate defects of the functions that `model` calls, each with a search that must find it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heapify, heappush
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
import pytest

from tests.exhaustive.model import Setup
from zoho_async.limits import Limits, recovery
from zoho_async.limits import usage as usages
from zoho_async.limits.usage import Ending, Usage

Patch: TypeAlias = Callable[[pytest.MonkeyPatch], None]


class Defect(NamedTuple):
    setup: Setup
    patch: Patch


def _settling(before: Callable[[Usage, int, Ending, float], Ending]) -> Patch:
    """Change the usage, or the ending, before the real function notes it."""
    real = usages.settle

    def settle(usage: Usage, account: Usage, place: int, ending: Ending, *rest: Any) -> float:
        return real(usage, account, place, before(usage, place, ending, rest[1]), *rest)

    return lambda patch: patch.setattr(usages, "settle", settle)


def _free_one(usage: Usage) -> None:
    usage.held.sort()
    del usage.held[-1:]


def _unsent_frees_two(usage: Usage, place: int, ending: Ending, now: float) -> Ending:
    if ending.how == "unsent":
        _free_one(usage)
    return ending


def _late_reply_frees(usage: Usage, place: int, ending: Ending, now: float) -> Ending:
    if ending.how == "replied" and place not in usage.open:
        _free_one(usage)
        _free_one(usage)
    return ending


def _certain(usage: Usage, place: int, ending: Ending, now: float) -> Ending:
    return msgspec.structs.replace(ending, unsure=0.0)


def _freed_from_admission(patch: pytest.MonkeyPatch) -> None:
    real = usages.settle

    def settle(
        usage: Usage, account: Usage, place: int, ending: Ending, limits: Limits, *rest: Any
    ) -> float:
        opened, before = usage.open.get(place), list(usage.held)
        blocked = real(usage, account, place, ending, limits, *rest)
        if opened is not None and ending.how == "replied":
            usage.held = before
            heapify(usage.held)
            heappush(usage.held, opened.taken + limits.window * usages.DRIFT)
        return blocked

    patch.setattr(usages, "settle", settle)


def _any_owner(patch: pytest.MonkeyPatch) -> None:
    real = usages.settle

    def settle(usage: Usage, account: Usage, place: int, *rest: Any) -> float:
        opened = usage.open.get(place)
        if opened is not None:
            rest = (*rest[:-1], opened.owner)
        return real(usage, account, place, *rest)

    patch.setattr(usages, "settle", settle)


def _abandoning(change: Callable[[Limits], Limits | None]) -> Patch:
    real = usages.abandon

    def abandon(usage: Usage, sent: float, now: float, limits: Limits) -> None:
        changed = change(limits)
        if changed is not None:
            real(usage, sent, now, changed)

    def apply(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(usages, "abandon", abandon)
        patch.setattr(recovery, "abandon", abandon)

    return apply


def _forget_dead(patch: pytest.MonkeyPatch) -> None:
    def free(usage: Usage, places: Iterable[int], limits: Limits, now: float) -> None:
        for number in places:
            del usage.open[number]

    patch.setattr(recovery, "abandon_open", free)


def _dead_sent_at_admission(patch: pytest.MonkeyPatch) -> None:
    def abandon(usage: Usage, places: Iterable[int], limits: Limits, now: float) -> None:
        for number in places:
            usages.abandon(usage, usage.open.pop(number).taken, now, limits)

    patch.setattr(recovery, "abandon_open", abandon)


def _taking(change: Callable[[Limits], Limits]) -> Patch:
    real = usages.take

    def take(usage: Usage, account: Usage, lane: Any, limits: Limits, *rest: Any) -> Any:
        return real(usage, account, lane, change(limits), *rest)

    return lambda patch: patch.setattr(usages, "take", take)


def _open_calls_not_counted(patch: pytest.MonkeyPatch) -> None:
    real = usages.take

    def take(usage: Usage, *rest: Any) -> Any:
        opened, usage.open = usage.open, {}
        place = real(usage, *rest)
        usage.open = opened | usage.open
        return place

    patch.setattr(usages, "take", take)


def _bulk_not_in_log(patch: pytest.MonkeyPatch) -> None:
    real = usages.take

    def take(usage: Usage, account: Usage, lane: str, *rest: Any) -> Any:
        place = real(usage, account, lane, *rest)  # type: ignore[arg-type] # a lane
        if lane == "bulk" and isinstance(place, int):
            del usage.open[place]
        return place

    patch.setattr(usages, "take", take)


def _bulk_not_in_bulk(patch: pytest.MonkeyPatch) -> None:
    def count(*args: object) -> None:
        pass

    patch.setattr(usages, "_count_bulk", count)


def _no_drift(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(usages, "DRIFT", 1.0)


def _nothing(patch: pytest.MonkeyPatch) -> None:
    """The setup has the defect."""


def one(*faults: str, calls: int = 3, **bounds: Any) -> Setup:
    return Setup(workers=1, calls=calls, faults=frozenset(faults), **bounds)


_BULK: Final = one(lanes=("interactive", "bulk"), burst=1)

DEFECTS: Final[dict[str, Defect]] = {
    "a place is free a minute after its admission": Defect(
        one(lapse=1, calls=1), _freed_from_admission
    ),
    "a lost call holds no place": Defect(one("lose"), _abandoning(lambda limits: None)),
    "a lost call arrives at once": Defect(
        one("lose"), _abandoning(lambda limits: msgspec.structs.replace(limits, linger=0.0))
    ),
    "the calls of a dead worker hold no place": Defect(one("crash"), _forget_dead),
    "a dead worker sent its calls at their admission": Defect(
        one("crash", lapse=1, calls=1), _dead_sent_at_admission
    ),
    "the limit is one too high": Defect(
        one(),
        _taking(lambda limits: msgspec.structs.replace(limits, limit=limits.limit + 1)),
    ),
    "calls in flight do not count in the minute": Defect(
        Setup(workers=2, calls=2), _open_calls_not_counted
    ),
    "a call that was not sent gives back two places": Defect(
        one("unsent"), _settling(_unsent_frees_two)
    ),
    "the skew of a clock is ignored": Defect(one(skew=1), _settling(_certain)),
    "the drift of a clock is ignored": Defect(one(), _no_drift),
    "a ledger that forgot gives places at once": Defect(one(wait=0.0, calls=1), _nothing),
    "a ledger that forgot does not wait for the lease": Defect(
        Setup(calls=1, lease=2, wait=4.0), _nothing
    ),
    "a late reply frees a place twice": Defect(
        one("silent", calls=2), _settling(_late_reply_frees)
    ),
    "a reply frees the place of another worker": Defect(Setup(calls=1, wait=6.0), _any_owner),
    "bulk calls of the head start are not in the log": Defect(_BULK, _bulk_not_in_log),
    "bulk calls of the head start are not in the part for bulk": Defect(_BULK, _bulk_not_in_bulk),
}
