"""Intended writes, and what the journal knows about them."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec

from zoho_async.importer.states import WriteState
from zoho_async.wire.encode import encode
from zoho_async.wire.text import is_array, is_object

RoomKind: TypeAlias = Literal["custom_field", "reference_number", "notes"]
#: What a token begins with, so that a person who sees it can look it up.
_TOKEN_START: Final = "zaw-"
_TOKEN_IN_NOTES: Final = re.compile(r"\n?zaw-[0-9a-f]{20}")
#: Header of an upsert by a unique field. Repeating such a write changes nothing.
_UNIQUE_KEY: Final = "X-Unique-Identifier-Key"


class TokenRoom(msgspec.Struct, frozen=True):
    """Where a record can carry a token.

    ``name`` is the API name of a unique custom field; otherwise it is the field that ``kind`` says.
    """

    kind: RoomKind
    name: str


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """One intended write: an operation with everything that is sent.

    ``operation`` is its name in the description (``books.contacts.create``). ``ids`` fill its path.
    ``rows`` are the rows of the file that it comes from; the first one names it within its job.
    ``room`` is where the record gets a token; None if it has no room or needs none. ``content`` is
    the digest of the mapped rows, by default that of everything that is sent.
    """

    operation: str
    rows: tuple[int, ...] = (1,)
    ids: tuple[str, ...] = ()
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    body: Mapping[str, Any] | None = None
    room: TokenRoom | None = None
    content: str = ""

    @property
    def digest(self) -> str:
        """The digest of the mapped rows, or of what is sent without the token."""
        if self.content:
            return self.content
        content = [self.operation, list(self.ids), dict(self.query), dict(self.headers), self.body]
        return hashlib.sha256(encode(content)).hexdigest()

    @property
    def repeatable(self) -> bool:
        """Whether it can be sent twice without harm."""
        return _UNIQUE_KEY in self.headers


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """The writes of one file, or one proposal.

    ``source`` is the digest of the file or the proposal, ``name`` what people call it. ``target``
    is the resource, such as ``books.contacts``. ``created`` is in seconds since 1970.
    """

    id: str
    source: str
    name: str
    target: str
    organization: str
    created: float


class JournaledWrite(msgspec.Struct, frozen=True, kw_only=True):
    """A write as the journal has it. Times are in seconds since 1970.

    ``body`` is the JSON that is sent, with the token. ``lost`` is when its answer was lost.
    ``after`` is a time by Zoho's clock before which the record cannot have been created. ``record``
    is the record's id, ``modified`` its last modification as Zoho answered it. ``searches`` counts
    the searches in vain since the wait was over, ``searched`` is the last one. ``candidates`` are
    ids of records that may be this write, for a person to look at. ``carried`` says that the record
    was seen with its token.
    """

    number: int
    job: str
    operation: str
    rows: tuple[int, ...]
    ids: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    digest: str
    token: str
    room: TokenRoom | None
    state: WriteState
    sent: float | None = None
    lost: float | None = None
    after: float | None = None
    record: str = ""
    modified: str = ""
    problem: str = ""
    searches: int = 0
    searched: float | None = None
    candidates: tuple[str, ...] = ()
    carried: bool = False

    @property
    def repeatable(self) -> bool:
        """Whether it can be sent twice without harm."""
        return _UNIQUE_KEY in self.headers

    @property
    def row(self) -> int:
        """The first row that it comes from."""
        return self.rows[0]


def new_token() -> str:
    """Return a token that no other write has: 80 random bits."""
    return _TOKEN_START + secrets.token_hex(10)


def without_token(notes: str) -> str:
    """Return ``notes`` as they were before `with_token`."""
    return _TOKEN_IN_NOTES.sub("", notes)


def with_token(body: Mapping[str, Any], room: TokenRoom, token: str) -> dict[str, Any]:
    """Return ``body`` with ``token`` in its ``room``. Nothing that the body has is replaced.

    Raises `ValueError` if the room is taken.
    """
    if room.kind == "notes":
        before = str(body.get(room.name) or "")
        return {**body, room.name: f"{before}\n{token}" if before else token}
    if room.kind == "reference_number":
        if body.get(room.name):
            raise ValueError(f"{room.name} has a value, so it has no room for a token")
        return {**body, room.name: token}
    fields = list(body.get("custom_fields") or ())
    if any(each.get("api_name") == room.name for each in fields):
        raise ValueError(f"{room.name} has a value, so it has no room for a token")
    return {**body, "custom_fields": [*fields, {"api_name": room.name, "value": token}]}


def carries(record: Mapping[str, Any], room: TokenRoom, token: str) -> bool | None:
    """Return whether ``record`` carries ``token``. None if it does not show the room.

    A record that was edited may have text around the token. A record whose custom field is empty
    may leave it out.
    """
    if room.name in record:
        return token in str(record[room.name])
    fields = record.get("custom_fields")
    for each in fields if is_array(fields) else ():
        if is_object(each) and each.get("api_name") == room.name:
            return token in str(each.get("value"))
    return None
