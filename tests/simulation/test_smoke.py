"""The package's own session, above the network in memory."""

from __future__ import annotations

import asyncio
import json

from tests.simulation.faults import LINK, Fault
from tests.simulation.loop import Worker
from tests.simulation.plan import Plan
from tests.simulation.wire import Answer, Request
from tests.simulation.world import World
from zoho_async import Credentials, Session, ZohoError
from zoho_async.limits import MemoryLedger

JSON = {"Content-Type": "application/json"}


class Accounts:
    def arrive(self, request: Request) -> Answer:
        token = {
            "access_token": "token",
            "expires_in": 3600,
            "api_domain": "https://www.zohoapis.com",
        }
        return Answer(200, JSON, json.dumps(token).encode(), 0.1)


class Books:
    def __init__(self) -> None:
        self.arrivals = 0

    def arrive(self, request: Request) -> Answer:
        self.arrivals += 1
        id = request.path.rpartition("/")[2]
        body = {"code": 0, "message": "success", "contact": {"contact_id": id}}
        return Answer(200, JSON, json.dumps(body).encode(), 0.2)


def run(calls: int, faults: tuple[Fault, ...] = ()) -> tuple[World, int, int]:
    world = World(Plan(seed=1, faults=faults))
    books = Books()
    world.serve("accounts.zoho.com", Accounts())
    world.serve("www.zohoapis.com", books)
    answered = 0

    async def work(worker: Worker) -> None:
        async def one(id: int) -> None:
            nonlocal answered
            try:
                found = await zoho.books.contacts.get(str(id))
            except ZohoError as error:
                world.note("error", type(error).__name__)
            else:
                assert found.contact_id == str(id)
                answered += 1

        async with Session(
            Credentials("1000.CLIENT", "the-secret", "1000.refresh"),
            organization="10",
            clock=world.clock_of(worker),
            ledger=MemoryLedger(),
        ) as zoho:
            zoho = zoho.with_options(max_wait=None)
            await asyncio.gather(*(one(id) for id in range(calls)))

    async def main() -> None:
        worker = world.spawn("one", work)
        assert worker.task is not None
        await worker.task

    world.run(main)
    world.close()
    return world, answered, books.arrivals


def test_the_session_calls_through_the_network_in_memory() -> None:
    world, answered, arrived = run(250)
    assert not world.violations
    assert answered == arrived == 250
    assert world.loop.now - 1000 > 120  # the minute's limit holds in virtual time
    assert not world.network.connections


def test_faults_hit_their_requests_and_calls_are_made_again() -> None:
    faults = tuple(
        Fault(kind, "one", "www.zohoapis.com", nth=10 * (n + 1), seconds=5.0)
        for n, kind in enumerate(LINK)
    )
    world, answered, arrived = run(200, faults)
    assert not world.violations
    assert {kind for kind, _ in world.faults} == set(LINK)
    assert answered >= 199  # stray bytes may come before a reply, which then cannot be read
    assert arrived > 200
