"""Proposed writes, in a file that the server and ``zoho-async approve`` share.

Model
-----
A model proposes; a person approves, in another process or through the client. A model may propose
anything, and ask for the approval of one proposal with the text of another.

Invariant
---------
What is approved is what was proposed and shown: operation, ids, parameters, body, files,
organization and host. No result of a tool can approve.

Why it holds
------------
The digest covers all of these, and is computed again from the stored request before it is sent. A
proposal is never changed: another request is another proposal, with another id. It expires, and a
declined one cannot be approved, nor an approved one declined. Only `mark` changes the state, and
the tools do not call it.

Unknown
-------
A model that can run commands in a terminal of its user can also type an answer there. The command
asks only a terminal, but the user must not give such a model a terminal.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import sqlite3
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, TypeVar

import msgspec
from anyio import to_thread

from zoho_async._msgspec import decoder_of
from zoho_async.clock import SYSTEM_CLOCK, Clock
from zoho_async.errors import ConfigurationError
from zoho_async.files import private_database
from zoho_async.importer import Intent
from zoho_async.integrations.mcp.uploads import ProposedFile
from zoho_async.wire import encode
from zoho_async.wire.text import untyped

T = TypeVar("T")

#: ``open`` waits for a person. ``approved`` may be on its way. The others are final, but for
#: ``unknown``: the answer was lost, and the journal looks for evidence.
ProposalState: TypeAlias = Literal[
    "open", "approved", "declined", "written", "not_written", "unknown"
]
#: Seconds until a proposal expires, and the most that wait at the same time.
LIFETIME: Final = 3600.0
MOST_OPEN: Final = 20
_BUSY: Final = 10.0  # seconds to wait for another process
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS proposal (id TEXT PRIMARY KEY, digest TEXT NOT NULL,
    created REAL NOT NULL, expires REAL NOT NULL, organization TEXT NOT NULL,
    api_url TEXT NOT NULL, intent BLOB NOT NULL, body BLOB, files BLOB NOT NULL,
    effect BLOB NOT NULL,
    state TEXT NOT NULL DEFAULT 'open', outcome TEXT NOT NULL DEFAULT '')
"""
_COLUMNS: Final = (
    "id, digest, created, expires, organization, api_url, intent, body, files, effect, state, "
    "outcome"
)


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A proposed write. ``effect`` is what was shown; ``expires`` is in seconds since 1970."""

    id: str
    digest: str
    created: float
    expires: float
    organization: str
    api_url: str
    intent: Intent
    files: tuple[ProposedFile, ...] = ()
    effect: Mapping[str, Any]
    state: ProposalState = "open"
    outcome: str = ""

    @property
    def is_intact(self) -> bool:
        """Whether the request is the one that the digest was computed from."""
        return self.digest == digest_of(self.intent, self.files, self.organization, self.api_url)


def digest_of(
    intent: Intent, files: Sequence[ProposedFile], organization: str, api_url: str
) -> str:
    """Return the digest of a request with everything that decides what it changes."""
    room = None if intent.room is None else [intent.room.kind, intent.room.name]
    contents = [[file.field, file.folder, file.path, file.digest] for file in files]
    content = [intent.digest, room, contents, organization, api_url]
    return hashlib.sha256(encode(content)).hexdigest()


class Proposals:
    """The proposals in the SQLite file ``path``, readable by its owner only."""

    def __init__(self, path: Path, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._path: Final = path
        self._clock: Final = clock

    async def add(
        self,
        intent: Intent,
        organization: str,
        api_url: str,
        effect: Mapping[str, Any],
        files: tuple[ProposedFile, ...] = (),
    ) -> Proposal:
        """Store a proposal. Raises `ConfigurationError` if too many wait already."""
        now = self._clock.time()
        proposal = Proposal(
            id=secrets.token_hex(4),
            digest=digest_of(intent, files, organization, api_url),
            created=now,
            expires=now + LIFETIME,
            organization=organization,
            api_url=api_url,
            intent=intent,
            files=files,
            effect=effect,
        )
        await self._run(lambda file: _insert(file, proposal))
        return proposal

    async def find(self, id: str) -> Proposal:
        """Return a proposal. Raises `ConfigurationError` for an unknown id."""
        found = await self._run(lambda file: _select(file, "id = ?", id))
        if not found:
            raise ConfigurationError(f"there is no proposal {id!r}")
        return found[0]

    async def waiting(self) -> list[Proposal]:
        """Return the proposals that can be approved, the oldest first."""
        now = self._clock.time()
        where = "state = 'open' AND expires > ? ORDER BY created"
        return await self._run(lambda file: _select(file, where, now))

    async def same(self, digest: str, *, but: str = "") -> list[str]:
        """Return what became of other proposals of this request, as text: the newest five."""
        where = (
            "digest = ? AND id != ? AND state NOT IN ('declined', 'not_written') "
            "ORDER BY created DESC LIMIT 5"
        )
        found = await self._run(lambda file: _select(file, where, digest, but))
        return [
            f"proposal {one.id} is {one.state}{f': {one.outcome}' if one.outcome else ''}"
            for one in found
            if not self.is_expired(one)
        ]

    def is_expired(self, proposal: Proposal) -> bool:
        """Whether it is too late to approve ``proposal``."""
        return proposal.state == "open" and self.is_late(proposal)

    def is_late(self, proposal: Proposal) -> bool:
        """Whether ``proposal`` must not be sent any more, approved or not."""
        return self._clock.time() >= proposal.expires

    async def mark(self, id: str, state: ProposalState, outcome: str = "") -> None:
        """Note the state of a proposal.

        Raises `ConfigurationError` if it is declined, and if it is to be declined but was approved.
        """
        before = "= 'open'" if state == "declined" else "!= 'declined'"
        sql = f"UPDATE proposal SET state = ?, outcome = ? WHERE id = ? AND state {before}"
        changed = await self._run(lambda file: file.execute(sql, (state, outcome, id)).rowcount)
        if not changed:
            raise ConfigurationError(f"proposal {id} was approved or declined before")

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def run() -> T:
            with self._open() as file:
                return work(file)

        return await to_thread.run_sync(run)

    @contextmanager
    def _open(self) -> Generator[sqlite3.Connection]:
        """Open the file for one transaction."""
        try:
            path = private_database(self._path)
            if os.name == "posix" and os.stat(path).st_mode & 0o077:
                raise ConfigurationError(f"others can open {self._path}: run chmod 600")
            with closing(sqlite3.connect(path, timeout=_BUSY, isolation_level=None)) as connection:
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(_TABLE)
                yield connection
                connection.execute("COMMIT")
        except (OSError, sqlite3.Error) as problem:
            raise ConfigurationError(
                f"the proposals in {self._path} cannot be opened: {problem}"
            ) from None


def _insert(file: sqlite3.Connection, proposal: Proposal) -> None:
    sql = "SELECT count(*) FROM proposal WHERE state = 'open' AND expires > ?"
    if file.execute(sql, (proposal.created,)).fetchone()[0] >= MOST_OPEN:
        raise ConfigurationError(
            f"{MOST_OPEN} proposals wait for approval: let a person approve or decline them first"
        )
    body = proposal.intent.body
    values = (
        proposal.id,
        proposal.digest,
        proposal.created,
        proposal.expires,
        proposal.organization,
        proposal.api_url,
        msgspec.json.encode(msgspec.structs.replace(proposal.intent, body=None)),
        None if body is None else encode(body),
        msgspec.json.encode(proposal.files),
        msgspec.json.encode(proposal.effect),
        proposal.state,
        proposal.outcome,
    )
    marks = ", ".join("?" * len(values))
    file.execute(f"INSERT INTO proposal ({_COLUMNS}) VALUES ({marks})", values)


def _select(file: sqlite3.Connection, where: str, *values: object) -> list[Proposal]:
    rows = file.execute(f"SELECT {_COLUMNS} FROM proposal WHERE {where}", values).fetchall()
    return [_proposal(*row) for row in rows]


def _proposal(
    id: str,
    digest: str,
    created: float,
    expires: float,
    organization: str,
    api_url: str,
    intent: bytes,
    body: bytes | None,
    files: bytes,
    effect: bytes,
    state: ProposalState,
    outcome: str,
) -> Proposal:
    head = decoder_of(Intent).decode(intent)
    return Proposal(
        id=id,
        digest=digest,
        created=created,
        expires=expires,
        organization=organization,
        api_url=api_url,
        intent=head if body is None else msgspec.structs.replace(head, body=untyped(body)),
        files=decoder_of(tuple[ProposedFile, ...]).decode(files),
        effect=msgspec.json.decode(effect),
        state=state,
        outcome=outcome,
    )
