"""The write journal: no write twice, none lost, whatever ends the process between two steps."""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from tests.support.write_server import Crash, Fate, PassingClock, WriteServer, crash_at_step
from zoho_async.errors import ConfigurationError
from zoho_async.importer import (
    Intent,
    JournalFailed,
    RowChanged,
    TokenRoom,
    WriteSettler,
    WrongState,
    commit,
    open_journal,
)
from zoho_async.importer.states import STATES, Step, WriteState, next_state

NOTES = TokenRoom("notes", "notes")


def contact(row: int, name: str = "Rose", room: TokenRoom | None = NOTES) -> Intent:
    return Intent(
        operation="books.contacts.create", rows=(row,), body={"contact_name": name}, room=room
    )


async def run_once(path: Path, server: WriteServer, intents: list[Intent]) -> Counter[str]:
    """One run of an import: settle what is unknown, send the rest; the states at its end."""
    async with open_journal(path, clock=server.clock) as journal:
        job = await journal.job(source="f", name="f", target="books.contacts", organization="1")
        await journal.plan(job, intents)
        if server.crash_at is not None:
            crash_at_step(journal, server)
        settler = WriteSettler(server.session, journal, clock=server.clock)
        await settler.settle(await journal.writes(job, ["unknown"]))
        for write in await journal.writes(job, ["planned", "not_written"]):
            await commit(server.session, journal, write.number, after=server.clock.now)
        return Counter[str](await journal.counts(job))


async def run_to_end(path: Path, server: WriteServer, intents: list[Intent]) -> Counter[str]:
    """Run the import again until nothing is left to do, as often as the process ends."""
    for _ in range(12):
        server.crashed = False
        server.clock.now += 5
        try:
            states = await run_once(path, server, intents)
        except Crash:
            continue
        if set(states) <= {"written"}:
            return states
    raise AssertionError("the import does not end")


@pytest.mark.parametrize("fates", list(itertools.product(get_args(Fate), repeat=2)))
async def test_every_row_is_written_once_whatever_its_answers_are(
    fates: tuple[Fate, ...], tmp_path: Path
) -> None:
    server = WriteServer(PassingClock(), fates=list(fates))
    intents = [contact(1), contact(2), contact(3, "Lily")]
    assert await run_to_end(tmp_path / "j", server, intents) == {"written": 3}
    names = Counter(one["contact_name"] for one in server.contacts.values())
    assert names == {"Rose": 2, "Lily": 1}


@pytest.mark.parametrize("fate", ["done", "refused", "lost_before", "lost_after"])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", range(1, 6))
async def test_a_crash_between_any_two_steps_doubles_and_loses_nothing(
    step: int, after: bool, fate: Fate, tmp_path: Path
) -> None:
    server = WriteServer(PassingClock(), fates=[fate], crash_at=(step, after))
    await run_to_end(tmp_path / "j", server, [contact(1), contact(2)])
    assert len(server.contacts) == 2


async def test_a_write_without_a_token_waits_for_a_person(tmp_path: Path) -> None:
    clock = PassingClock()
    server = WriteServer(clock, fates=["lost_after", "lost_before"])
    intents = [contact(row, f"name {row}", None) for row in (1, 2, 3)]
    for _ in range(3):
        states = await run_once(tmp_path / "j", server, intents)
        assert states == {"unknown": 2, "written": 1}
        clock.now += 3600
    assert len(server.contacts) == 2
    async with open_journal(tmp_path / "j", clock=clock) as journal:
        lost = await journal.writes(states=["unknown"])
        assert [one.candidates for one in lost] == [("1000",), ("1000",)]
        await journal.confirm(lost[0].number, record="1000")
        await journal.refuse(lost[1].number, "a person looked")
    assert await run_once(tmp_path / "j", server, intents) == {"written": 3}
    assert [one["contact_name"] for one in server.contacts.values()] == [
        "name 1",
        "name 3",
        "name 2",
    ]


async def test_not_written_needs_the_wait_and_two_searches(tmp_path: Path) -> None:
    clock = PassingClock()
    server = WriteServer(clock, fates=["lost_before"])
    await run_once(tmp_path / "j", server, [contact(1)])
    async with open_journal(tmp_path / "j", clock=clock) as journal:
        settler = WriteSettler(server.session, journal, clock=clock)
        (write,) = await journal.writes()
        for _ in range(3):  # too early to count
            (write,) = await settler.search([write])
        assert (write.state, write.searches) == ("unknown", 0)
        assert settler.ready_in(write) == 330.0
        clock.now += 330
        (write,) = await settler.search([write])
        (write,) = await settler.search([write])
        assert (write.state, write.searches, settler.ready_in(write)) == ("unknown", 1, 30.0)
        clock.now += 30
        (write,) = await settler.search([write])
        assert (write.state, write.searches) == ("not_written", 2)


@pytest.mark.parametrize("fate", ["lost_after", "lost_before"])
async def test_a_list_in_another_order_than_asked_is_read_whole(fate: Fate, tmp_path: Path) -> None:
    """Zoho ignores some orders: an old record at the top is no sign that no newer one follows."""
    clock = PassingClock()
    server = WriteServer(clock, pages_of=3, ignores_order=True)
    for number in range(7):
        old = {"contact_id": str(number), "created_time": f"2020-01-0{number + 1}T09:00:00+0000"}
        server.contacts[str(number)] = old
    server.contacts["1"], server.contacts["2"] = server.contacts["2"], server.contacts["1"]
    server.fates = [fate]
    assert await run_to_end(tmp_path / "j", server, [contact(1)]) == {"written": 1}
    assert len(server.contacts) == 8


async def test_two_records_with_one_token_are_for_a_person(tmp_path: Path) -> None:
    clock = PassingClock()
    server = WriteServer(clock, fates=["lost_after"])
    await run_once(tmp_path / "j", server, [contact(1)])
    server.contacts["77"] = {**server.contacts["1000"], "contact_id": "77"}  # someone cloned it
    async with open_journal(tmp_path / "j", clock=clock) as journal:
        settler = WriteSettler(server.session, journal, clock=clock)
        for _ in range(4):
            clock.now += 1000
            await settler.search(await journal.writes())
        (write,) = await journal.writes()
        assert (write.state, write.candidates) == ("unknown", ("1000", "77"))


async def test_a_changed_row_replaces_only_what_is_not_at_zoho(tmp_path: Path) -> None:
    server = WriteServer(PassingClock(), fates=["done", "refused"])
    await run_once(tmp_path / "j", server, [contact(1), contact(2)])
    async with open_journal(tmp_path / "j", clock=server.clock) as journal:
        job = await journal.job(source="f", name="f", target="books.contacts", organization="1")
        with pytest.raises(RowChanged, match="rows 1 were written"):
            await journal.plan(job, [contact(1, "Iris"), contact(2, "Iris")])
        first, second = await journal.plan(job, [contact(1), contact(2, "Iris")])
        assert (first.state, second.state) == ("written", "planned")
        other = await journal.job(source="g", name="g", target="books.contacts", organization="1")
        before = await journal.written_before(other, [contact(9).digest])
        assert [one.record for one in before[contact(9).digest]] == ["1000"]


async def test_rows_that_are_grouped_otherwise_are_planned_again_or_refused(
    tmp_path: Path,
) -> None:
    server = WriteServer(PassingClock())
    path, named = tmp_path / "j", {"source": "f", "name": "f", "target": "books.contacts"}
    async with open_journal(path, clock=server.clock) as journal:
        job = await journal.job(organization="1", **named)
        first, *_ = await journal.plan(job, [contact(row) for row in (1, 2, 3, 4)])
        both = msgspec.structs.replace(contact(3, "Iris"), rows=(3, 4))
        await journal.plan(job, [contact(1), contact(2), both])
        assert [one.rows for one in await journal.writes(job)] == [(1,), (2,), (3, 4)]
        await commit(server.session, journal, first.number)
        with pytest.raises(RowChanged, match="rows 1 were written"):
            await journal.plan(job, [msgspec.structs.replace(contact(2, "Iris"), rows=(2, 1))])
        assert await journal.plan(job, []) == []
        assert [one.state for one in await journal.writes(job)] == ["written"]


async def test_a_full_disk_ends_the_import_before_anything_is_sent(tmp_path: Path) -> None:
    server = WriteServer(PassingClock())
    path, intents = tmp_path / "j", [contact(1), contact(2)]
    async with open_journal(path, clock=server.clock) as journal:
        job = await journal.job(source="f", name="f", target="books.contacts", organization="1")
        first, second = await journal.plan(job, intents)
        await commit(server.session, journal, first.number)
        pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
        journal._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(JournalFailed, match="full"):
            await journal.plan(job, [*intents, *(contact(row, "x" * 2000) for row in range(3, 9))])
        journal._connection.execute("PRAGMA query_only = 1")
        with pytest.raises(JournalFailed, match="readonly"):
            await commit(server.session, journal, second.number)
        assert len(server.contacts) == 1
    assert await run_to_end(path, server, intents) == {"written": 2}
    assert len(server.contacts) == 2


async def test_a_clock_that_is_set_back_does_not_make_the_wait_endless(tmp_path: Path) -> None:
    clock = PassingClock()
    server = WriteServer(clock, fates=["lost_before"])
    path = tmp_path / "j"
    async with open_journal(path, clock=clock) as journal:
        job = await journal.job(source="f", name="f", target="books.contacts", organization="1")
        (write,) = await journal.plan(job, [contact(1)])
        await commit(server.session, journal, write.number)
    clock.now -= 86_400 * 365
    async with open_journal(path, clock=clock) as journal:
        settler = WriteSettler(server.session, journal, clock=clock)
        (write,) = await journal.writes()
        assert settler.ready_in(write) == 330.0


OPEN = """
import asyncio, sys
from zoho_async.errors import ConfigurationError
from zoho_async.importer import open_journal

async def states():
    async with open_journal(sys.argv[1]) as journal:
        return [write.state for write in await journal.writes()]

try:
    print(asyncio.run(states()))
except ConfigurationError as problem:
    print(problem)
"""


def opened_elsewhere(path: Path) -> str:
    """What another process sees that opens the journal."""
    return subprocess.check_output([sys.executable, "-c", OPEN, str(path)], text=True)


async def test_the_file_is_private_and_has_one_user(tmp_path: Path) -> None:
    path = tmp_path / "imports" / "journal.sqlite"
    async with open_journal(path):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(path.parent).st_mode) == 0o700
        with pytest.raises(ConfigurationError, match="another process has it open"):
            async with open_journal(path):
                pass
        # The attempt did not release the lock, as closing any descriptor of the file would.
        assert "another process has it open" in opened_elsewhere(path)
    other = tmp_path / "other"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE a (b)")
    connection.close()
    with pytest.raises(ConfigurationError, match="is not a journal"):
        async with open_journal(other):
            pass


async def test_after_a_crash_the_file_has_every_step_without_its_log(tmp_path: Path) -> None:
    """As if it was moved, or opened through a hard link: SQLite looks for the log by name."""
    path, moved = tmp_path / "j", tmp_path / "moved"
    async with open_journal(path) as journal:
        job = await journal.job(source="f", name="f", target="books.contacts", organization="1")
        first, second, _ = await journal.plan(job, [contact(row) for row in (1, 2, 3)])
        await journal.send(first.number)
        await journal.confirm(first.number, record="1000")
        await journal.send(second.number)
        shutil.copyfile(path, moved)
    async with open_journal(moved) as journal:
        states = [one.state for one in await journal.writes()]
        assert states == ["written", "unknown", "planned"]


def test_only_planned_and_refused_writes_are_sent() -> None:
    steps: tuple[Step, ...] = get_args(Step)
    allowed: set[tuple[WriteState, Step, WriteState]] = set()
    for state, step in itertools.product(STATES, steps):
        try:
            allowed.add((state, step, next_state(state, step)))
        except WrongState:
            continue
    assert {one for one in allowed if one[1] == "send"} == {
        ("planned", "send", "sent"),
        ("not_written", "send", "sent"),
    }
    assert {one for one in allowed if one[0] == "written"} == {("written", "undo", "not_written")}
    assert next_state("unknown", "send", repeatable=True) == "sent"
