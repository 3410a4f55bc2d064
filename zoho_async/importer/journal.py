"""The write journal: every intended write with its state, in one SQLite file.

Model
-----
A `Job` is the writes of one file or one proposal. A write is named by its job (which has the
digest of the file), its first row, and the digest of what is sent. Two rows with equal content are
two writes. `zoho_async.importer.states` has the states.

Invariant
---------
A row of a job is written at most once. Planning it again with the same content gives the same
write. Planning it with other content replaces a write that is certainly not at Zoho, and is refused
otherwise.

Why it holds
------------
Job and first row are unique in the file. Every step is one transaction, which is on the disk when
the method returns, and only one process can open the file (`zoho_async.exclusive_database`), so no
other process changes a state between a decision and its step.

Unknown
-------
A disk that loses what it reported as written, and a copy of the file that is put back later, can
make a write be sent twice. Do not restore a journal from a backup.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, TypeVar

import anyio
import msgspec
from anyio import CancelScope, to_thread

from zoho_async._msgspec import decoder_of
from zoho_async.clock import SYSTEM_CLOCK, Clock
from zoho_async.errors import ConfigurationError, ZohoError
from zoho_async.exclusive_database import DatabaseKind, run_to_its_end
from zoho_async.importer.states import Step, WriteState, next_state
from zoho_async.importer.writes import (
    Intent,
    Job,
    JournaledWrite,
    TokenRoom,
    new_token,
    with_token,
)
from zoho_async.wire.encode import encode

T = TypeVar("T")
_INTENT: Final = decoder_of(Intent)

_FILE: Final = DatabaseKind(
    what="a journal",
    application=0x5A686F6A,  # "Zhoj"
    version=1,
    when_busy="wait until it ends",
    tables="""
CREATE TABLE job (id TEXT PRIMARY KEY, source TEXT NOT NULL, name TEXT NOT NULL,
    target TEXT NOT NULL, organization TEXT NOT NULL, created REAL NOT NULL,
    UNIQUE (organization, target, source));
CREATE TABLE write (number INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL REFERENCES job (id),
    row INTEGER NOT NULL, digest TEXT NOT NULL, intent BLOB NOT NULL, body BLOB NOT NULL,
    token TEXT NOT NULL, state TEXT NOT NULL, sent REAL, lost REAL, after REAL,
    record TEXT NOT NULL DEFAULT '', modified TEXT NOT NULL DEFAULT '',
    problem TEXT NOT NULL DEFAULT '', searches INTEGER NOT NULL DEFAULT 0, searched REAL,
    candidates TEXT NOT NULL DEFAULT '', carried INTEGER NOT NULL DEFAULT 0, UNIQUE (job, row));
CREATE INDEX write_by_state ON write (job, state);
CREATE INDEX write_by_digest ON write (digest);
CREATE INDEX write_by_record ON write (record);
""",
)
_COLUMNS: Final = (
    "number, job, digest, intent, body, token, state, sent, lost, after, record, modified, "
    "problem, searches, searched, candidates, carried"
)


class RowChanged(ConfigurationError):
    """A row of this file was written, or may have been, with other content. Nothing was planned.

    ``writes`` are the writes that the journal has for such rows.
    """

    def __init__(self, writes: Sequence[JournaledWrite]) -> None:
        self.writes: Final = tuple(writes)
        rows = ", ".join(str(each.row) for each in writes[:8])
        more = f" and {len(writes) - 8} more" if len(writes) > 8 else ""
        super().__init__(
            f"rows {rows}{more} were written from this file before, with other values; "
            "keep the mapping as it was, or put only the rows to change into a new file"
        )


class JournalFailed(ZohoError):
    """The journal's file cannot be read or written, for example because the disk is full.

    A request is made only after its note is on the disk. A write whose outcome could not be noted
    is unknown when the journal is opened again.
    """


@asynccontextmanager
async def open_journal(
    path: str | os.PathLike[str], *, clock: Clock = SYSTEM_CLOCK
) -> AsyncGenerator[WriteJournal]:
    """Open the journal in the SQLite file ``path``, or create it, readable by its owner only.

    Writes that were ``sent`` by a process that ended become ``unknown``. Raises
    `ConfigurationError` if the file is another's, or another process has it open.
    """
    connection = await to_thread.run_sync(_open, path, clock.time())
    try:
        yield WriteJournal(connection, clock)
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(connection.close)


class WriteJournal:
    """An open journal. Its methods can be called by many tasks at once."""

    def __init__(self, connection: sqlite3.Connection, clock: Clock) -> None:
        self._connection: Final = connection
        self._clock: Final = clock
        self._lock: Final = anyio.Lock()

    # -- jobs -----------------------------------------------------------------------------------

    async def job(self, *, source: str, name: str, target: str, organization: str) -> Job:
        """Return the job of this source, or create it.

        ``source`` is the digest of the file or proposal, ``name`` what people call it, ``target``
        the resource, such as ``books.contacts``.
        """
        job = Job(
            id=f"{time.strftime('%Y%m%d', time.gmtime(self._clock.time()))}-{secrets.token_hex(3)}",
            source=source,
            name=name,
            target=target,
            organization=organization,
            created=self._clock.time(),
        )
        return await self._run(lambda: self._create_job(job))

    async def jobs(self) -> list[Job]:
        """Return all jobs, the oldest first."""
        return await self._run(lambda: self._jobs("TRUE ORDER BY created, id"))

    async def find_job(self, id: str) -> Job | None:
        """Return the job with this id, None if the journal does not have it."""
        found = await self._run(lambda: self._jobs("id = ?", id))
        return found[0] if found else None

    # -- writes ---------------------------------------------------------------------------------

    async def plan(self, job: Job, intents: Iterable[Intent]) -> list[JournaledWrite]:
        """Make ``intents`` the planned writes of ``job``, all or none, and return their writes.

        An intent that the journal has already keeps its write, whatever its state is. Other writes
        of the job that are certainly not at Zoho are forgotten: an earlier run planned them with
        another mapping or other options. Raises `RowChanged`, and `ValueError` for two intents of
        one row.
        """
        listed = list(intents)
        rows = [each.rows[0] for each in listed]
        if len(set(rows)) != len(rows):
            raise ValueError("two intents begin with the same row")
        return await self._run(lambda: self._plan(job, listed))

    async def write(self, number: int) -> JournaledWrite:
        """Return the write with this number. Raises `KeyError` without it."""
        found = await self._run(lambda: self._writes("number = ?", number))
        if not found:
            raise KeyError(number)
        return found[0]

    async def writes(
        self, job: Job | None = None, states: Collection[WriteState] = ()
    ) -> list[JournaledWrite]:
        """Return the writes of ``job`` (None: of all jobs) in these states (none: in all)."""
        test, values = ["TRUE"], list[object]()
        if job is not None:
            test.append("job = ?")
            values.append(job.id)
        if states:
            test.append(f"state IN ({', '.join('?' * len(states))})")
            values += states
        where = f"{' AND '.join(test)} ORDER BY number"
        return await self._run(lambda: self._writes(where, *values))

    async def counts(self, job: Job) -> dict[WriteState, int]:
        """Return how many writes of ``job`` are in each state that any of them has."""
        sql = "SELECT state, count(*) FROM write WHERE job = ? GROUP BY state"
        return dict(await self._run(lambda: self._connection.execute(sql, (job.id,)).fetchall()))

    async def records(self) -> set[str]:
        """Return the ids of all records that the journal has as written."""
        sql = "SELECT record FROM write WHERE state = 'written' AND record != ''"
        rows = await self._run(lambda: self._connection.execute(sql).fetchall())
        return {row[0] for row in rows}

    async def has_carried(self, organization: str, operation: str, room: TokenRoom) -> bool:
        """Return whether a record of this ``operation`` was ever seen with a token in ``room``."""
        where = (
            "carried = 1 AND job IN (SELECT id FROM job WHERE organization = ?) "
            "ORDER BY number DESC LIMIT 1000"
        )
        found = await self._run(lambda: self._writes(where, organization))
        return any((one.operation, one.room) == (operation, room) for one in found)

    async def written_before(
        self, job: Job, digests: Collection[str]
    ) -> dict[str, list[JournaledWrite]]:
        """Return writes of other jobs with this content that are or may be at Zoho, by digest."""
        return await self._run(lambda: self._written_before(job, digests))

    async def undo_deletes(self, job: Job) -> list[JournaledWrite]:
        """Return the deletes of all undos of ``job`` that are or may be at Zoho."""
        where = (
            "state IN ('sent', 'written', 'unknown') AND job IN "
            "(SELECT id FROM job WHERE source LIKE ?) ORDER BY number"
        )
        return await self._run(lambda: self._writes(where, f"undo {job.id} %"))

    # -- steps ----------------------------------------------------------------------------------

    async def send(self, number: int, *, after: float | None = None) -> JournaledWrite:
        """Note durably that the request of a write is about to be made, and return the write.

        ``after`` is a time by Zoho's clock, in seconds since 1970, before which the record cannot
        be created. Raises `WrongState` if it must not be sent: then make no request.
        """
        values = {"sent": self._clock.time(), "after": after, "problem": "", "searches": 0}
        return await self._run(lambda: self._take(number, "send", values))

    async def confirm(
        self, number: int, *, record: str = "", modified: str = "", carried: bool = False
    ) -> JournaledWrite:
        """Note that the write is at Zoho, as the record with the id ``record``.

        ``carried`` says that the record was seen with the token.
        """
        values = {
            "record": record,
            "modified": modified,
            "carried": int(carried),
            "problem": "",
            "candidates": "",
        }
        return await self._run(lambda: self._take(number, "confirm", values))

    async def refuse(self, number: int, problem: str) -> JournaledWrite:
        """Note that the write is certainly not at Zoho, and why."""
        return await self._run(
            lambda: self._take(number, "refuse", {"problem": problem, "candidates": ""})
        )

    async def withdraw(self, number: int) -> JournaledWrite:
        """Note that the request was not made, or that the limits refused it: it stays planned."""
        return await self._run(lambda: self._take(number, "withdraw", {}))

    async def lose(self, number: int, problem: str) -> JournaledWrite:
        """Note that the answer is lost: the write may be at Zoho or not."""
        values = {"lost": self._clock.time(), "problem": problem, "searches": 0, "searched": None}
        return await self._run(lambda: self._take(number, "lose", values))

    async def note_carried(self, number: int) -> None:
        """Note that the record of a write was seen with its token."""
        await self._run(lambda: self._update(number, {"carried": 1}))

    async def undo(self, number: int) -> JournaledWrite:
        """Note that the record of a write was deleted again. The write may be sent again."""
        values = {"record": "", "modified": "", "carried": 0, "problem": "undone"}
        return await self._run(lambda: self._take(number, "undo", values))

    async def note_search(
        self, number: int, *, counts: bool, candidates: Collection[str] = ()
    ) -> JournaledWrite:
        """Note a search that did not find the write.

        ``counts`` says that it began after the wait was over.
        """
        return await self._run(lambda: self._note_search(number, counts, candidates))

    # -- on a worker thread, one at a time --------------------------------------------------------

    async def _run(self, work: Callable[[], T]) -> T:
        async with self._lock:
            try:
                return await run_to_its_end(work)
            except sqlite3.Error as problem:
                raise JournalFailed(
                    f"the write journal cannot be used ({problem}): nothing more is sent; run the "
                    "same again when the disk has room and can be written to"
                ) from problem

    def _create_job(self, job: Job) -> Job:
        with self._connection:
            self._connection.execute("BEGIN")
            self._connection.execute(
                "INSERT INTO job VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                msgspec.structs.astuple(job),
            )
        return self._jobs(
            "organization = ? AND target = ? AND source = ?",
            *(job.organization, job.target, job.source),
        )[0]

    def _jobs(self, where: str, *values: object) -> list[Job]:
        sql = f"SELECT id, source, name, target, organization, created FROM job WHERE {where}"
        return [
            Job(id=id, source=source, name=name, target=target, organization=org, created=created)
            for id, source, name, target, org, created in self._connection.execute(sql, values)
        ]

    def _plan(self, job: Job, intents: Sequence[Intent]) -> list[JournaledWrite]:
        known = self._writes("job = ?", job.id)
        first = {each.row: each for each in known}
        at_zoho = {row: each for each in known if not _is_absent(each) for row in each.rows}
        changed: dict[int, JournaledWrite] = {}
        kept: set[int] = set()
        added: list[tuple[object, ...]] = []
        for intent in intents:
            before, digest = first.get(intent.rows[0]), intent.digest
            if before is not None and _is_same(before, intent, digest):
                kept.add(before.number)
                continue
            taken = [at_zoho[row] for row in intent.rows if row in at_zoho]
            changed |= {each.number: each for each in taken}
            added.append(_row_of(job, intent, digest))
        removed = [(each.number,) for each in known if _is_absent(each) and each.number not in kept]
        if changed:
            raise RowChanged(list(changed.values()))
        with self._connection:
            self._connection.execute("BEGIN")
            self._connection.executemany("DELETE FROM write WHERE number = ?", removed)
            self._connection.executemany(
                "INSERT INTO write (job, row, digest, intent, body, token, state) "
                "VALUES (?, ?, ?, ?, ?, ?, 'planned')",
                added,
            )
        found = {each.row: each for each in self._writes("job = ?", job.id)}
        return [found[intent.rows[0]] for intent in intents]

    def _written_before(
        self, job: Job, digests: Collection[str]
    ) -> dict[str, list[JournaledWrite]]:
        found: dict[str, list[JournaledWrite]] = {}
        where = (
            "digest = ? AND job != ? AND state IN ('sent', 'written', 'unknown') AND job IN "
            "(SELECT id FROM job WHERE organization = ? AND target = ?) ORDER BY number"
        )
        for digest in set(digests):
            writes = self._writes(where, digest, job.id, job.organization, job.target)
            if writes:
                found[digest] = writes
        return found

    def _writes(self, where: str, *values: object) -> list[JournaledWrite]:
        sql = f"SELECT {_COLUMNS} FROM write WHERE {where}"
        return [_write_of(row) for row in self._connection.execute(sql, values)]

    def _take(self, number: int, step: Step, values: Mapping[str, object]) -> JournaledWrite:
        found = self._writes("number = ?", number)
        if not found:
            raise KeyError(number)
        state = next_state(found[0].state, step, repeatable=found[0].repeatable)
        self._update(number, {"state": state, **values})
        return self._writes("number = ?", number)[0]

    def _note_search(
        self, number: int, counts: bool, candidates: Collection[str]
    ) -> JournaledWrite:
        values: dict[str, object] = {"candidates": " ".join(sorted(candidates))}
        if counts:
            before = self._writes("number = ?", number)[0]
            values |= {"searches": before.searches + 1, "searched": self._clock.time()}
        self._update(number, values)
        return self._writes("number = ?", number)[0]

    def _update(self, number: int, values: dict[str, object]) -> None:
        names = ", ".join(f"{name} = ?" for name in values)
        with self._connection:
            self._connection.execute("BEGIN")
            self._connection.execute(
                f"UPDATE write SET {names} WHERE number = ?", (*values.values(), number)
            )


def _is_absent(write: JournaledWrite) -> bool:
    """Whether ``write`` is certainly not at Zoho."""
    return write.state in ("planned", "not_written")


def _is_same(before: JournaledWrite, intent: Intent, digest: str) -> bool:
    """Whether ``before`` is the write for ``intent``.

    What is at Zoho, or may be, is named by its content alone: since then, a create may have made
    the record that an update would change.
    """
    if before.digest != digest or not _is_absent(before):
        return before.digest == digest
    return (before.operation, before.ids, before.rows) == (
        intent.operation,
        intent.ids,
        intent.rows,
    )


def _row_of(job: Job, intent: Intent, digest: str) -> tuple[object, ...]:
    """The columns of a planned write. The body is stored as it is sent, token included."""
    token, body = "", intent.body
    if intent.room is not None and body is not None:
        token = new_token()
        body = with_token(body, intent.room, token)
    head = msgspec.json.encode(msgspec.structs.replace(intent, body=None))
    sent = b"" if body is None else encode(body)
    return (job.id, intent.rows[0], digest, head, sent, token)


def _write_of(row: Sequence[Any]) -> JournaledWrite:
    head = _INTENT.decode(row[3])
    return JournaledWrite(
        number=row[0],
        job=row[1],
        operation=head.operation,
        rows=head.rows,
        ids=head.ids,
        query=head.query,
        headers=head.headers,
        body=row[4],
        digest=row[2],
        token=row[5],
        room=head.room,
        state=row[6],
        sent=row[7],
        lost=row[8],
        after=row[9],
        record=row[10],
        modified=row[11],
        problem=row[12],
        searches=row[13],
        searched=row[14],
        candidates=tuple(row[15].split()),
        carried=bool(row[16]),
    )


def _open(path: str | os.PathLike[str], now: float) -> sqlite3.Connection:
    return _FILE.open(path, partial(_mark_lost, now=now))


def _mark_lost(connection: sqlite3.Connection, is_new: bool, *, now: float) -> None:
    """Make writes that were ``sent`` when a process ended ``unknown``."""
    connection.execute(
        "UPDATE write SET state = 'unknown', lost = ?, searches = 0, searched = NULL, "
        "problem = 'the process ended before the answer came' WHERE state = 'sent'",
        (now,),
    )
    # A clock that was set back since would make the wait longer than it is meant to be.
    connection.execute(
        "UPDATE write SET lost = ?, searches = 0, searched = NULL "
        "WHERE state = 'unknown' AND (lost > ? OR searched > ?)",
        (now, now, now),
    )
