"""No write happens twice: ten thousand writes under each kind of fault, counted at the server."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from zoho_async import Credentials, Limits, Session
from zoho_async.books import projects
from zoho_async.books.projects import ProjectCreate
from zoho_async.errors import AmbiguousWrite, TooManyInFlight, ZohoError
from zoho_async.http.retry import Policy
from zoho_async.limits import MemoryLedger
from zoho_async.sandbox import Fault, Sandbox

#: Only the server knows whether a write with one of these faults took effect. These did not.
UNDONE = ("drop_unread", "drop_undone", "reset_undone", "status", "status_html")
#: Of these it did.
DONE = ("drop", "reset", "broken_body", "empty", "cut", "html", "bad_gzip")
#: After these it is tried again, because it certainly did not happen.
AGAIN = ("refuse", "unknown_token")


def rules() -> list[Fault]:
    where: dict[str, Any] = {"method": "POST", "path": "*/projects"}
    made = [
        msgspec.convert({"kind": kind, "times": None, "probability": 0.01, **where}, Fault)
        for kind in (*UNDONE, *DONE)
    ]
    made.append(Fault(kind="refuse", code=1070, times=None, probability=0.01, **where))
    made.append(Fault(kind="unknown_token", times=3, probability=0.001, **where))
    return made


async def written(zoho: Session, customer: str, names: Iterable[str]) -> dict[str, str]:
    """The outcome of each write: "" or the name of its exception."""
    told: dict[str, str] = {}
    left = iter(names)

    async def worker() -> None:
        for name in left:
            project = ProjectCreate(
                project_name=name,
                customer_id=customer,
                billing_type="fixed_cost_for_project",
                user_id="1",
            )
            try:
                made = await projects.create(zoho, project)
            except ZohoError as error:
                told[name] = type(error).__name__
            else:
                assert made.project_name == name
                told[name] = ""

    await asyncio.gather(*(worker() for _ in range(20)))
    return told


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_of_ten_thousand_writes_under_faults_none_happens_twice_and_doubt_is_real() -> None:
    most = 1_000_000
    sizes = {"contacts": 5, "projects": 0}
    box = Sandbox(sizes=sizes, per_minute=most, per_day=most, in_flight=most, faults=rules())
    box.tokens.per_window = 1000
    async with box:
        session = Session(
            Credentials.from_env(box.environment()),
            organization=box.organization,
            api_url=box.url,
            accounts_url=box.accounts_url,
            # a write without an answer keeps its slot for ``linger``: many do here
            limits=Limits(limit=most, burst=most, in_flight=500, linger=0.2, window=1.0),
            ledger=MemoryLedger(),
            retry=Policy(base=0.0),
        )
        customer = msgspec.json.decode(box.truth("contacts")[0])["contact_id"]
        async with session as zoho:
            told = await written(zoho, customer, (f"P{number}" for number in range(10_000)))

    made = Counter(msgspec.json.decode(row)["project_name"] for row in box.truth("projects"))
    assert max(made.values()) == 1
    for name, outcome in told.items():
        allowed = {0, 1} if outcome == AmbiguousWrite.__name__ else {0 if outcome else 1}
        assert made[name] in allowed, (name, outcome)
    outcomes = Counter(told.values())
    assert set(outcomes) <= {"", AmbiguousWrite.__name__, TooManyInFlight.__name__}

    hits = Counter[str]()
    for fault in box.faults:
        hits[fault.kind] += fault.hits
    assert all(hits[kind] for kind in (*UNDONE, *DONE, *AGAIN))
    # Each AmbiguousWrite belongs to one request with an unknown outcome, and each such request to
    # one AmbiguousWrite: none was invented, hidden or sent again.
    doubts = outcomes[AmbiguousWrite.__name__]
    assert doubts == sum(hits[kind] for kind in (*UNDONE, *DONE))
    done = sum(made[name] for name, outcome in told.items() if outcome == AmbiguousWrite.__name__)
    assert done == sum(hits[kind] for kind in DONE)
    assert 0 < done < doubts
    assert (
        box.calls
        == len(told)
        - hits["drop_unread"]
        + sum((each.fault in AGAIN) for each in box.arrivals)
        - outcomes[TooManyInFlight.__name__]
    )
    print(f"10,000 writes: {dict(outcomes)}, of the ambiguous {done} took effect")
