"""Snapshots: what was written to a sandbox, in a file that others can load.

Model
    A snapshot is a file of JSON Lines. Its first line names the format, its version and the sample
    data (seed, sizes, organizations, day). Each other line is one written value: its place (a
    collection of an organization), its item (a record's number or a path), and the value as text,
    or as Base64 if it is an uploaded file. Lines are sorted, so that two snapshots can be compared
    with ``diff`` and kept in a repository.

Invariant
    `read_snapshot` returns a complete snapshot that a sandbox can load, or raises
    `ConfigurationError`. Reading runs no code, opens no other file, and numbers in the file cannot
    reserve more memory than `_MOST_RECORDS` rows per collection.

Why it holds
    The lines are decoded into the types below and each value is decoded once. The first line has
    the number of lines, so a truncated file is refused. `write_snapshot` replaces the file only
    when the new one is complete on disk.

What is unknown
    Whether the records make sense: a snapshot that was edited by hand may have an invoice of a
    contact that does not exist. Tokens, counted calls, faults and the clock are not saved.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.errors import ConfigurationError
from zoho_async.sandbox.data.files import File
from zoho_async.sandbox.replies import ENCODER

FORMAT: Final = "zoho-async sandbox snapshot"
VERSION: Final = 1

_MOST_RECORDS: Final = 10_000_000
_FIRST_YEAR: Final = 1990
_LAST_YEAR: Final = 2200
_ID: Final = re.compile(r"[0-9]{1,20}")
_Id: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,20}\Z")]
_Size: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=_MOST_RECORDS)]


class SandboxSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The sample data of a sandbox and what was written to it.

    Attributes:
        seed: seed of the sample data.
        sizes: number of sample records by ``product.resource``.
        organizations: ids of the organizations of the sample data; the first is the default.
        entries: written values, as (place, item, value).
    """

    seed: int
    sizes: dict[str, int]
    organizations: tuple[str, ...]
    entries: tuple[tuple[str, str, bytes], ...]


class _Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: Literal["zoho-async sandbox snapshot"]
    version: int
    seed: int
    sizes: dict[str, _Size]
    organizations: Annotated[list[_Id], msgspec.Meta(min_length=1, max_length=1000)]
    entries: int


class _Entry(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    place: str
    item: str
    text: str | None = None
    base64: bytes | None = None


class _Version(msgspec.Struct, frozen=True):
    format: str = ""
    version: int = 0


_VERSION: Final = decoder_of(_Version)
_HEADER: Final = decoder_of(_Header)
_ENTRY: Final = decoder_of(_Entry)
_OBJECT: Final = decoder_of(dict[str, Any])


def read_snapshot(path: str | os.PathLike[str]) -> SandboxSnapshot:
    """Read a snapshot. Raises `ConfigurationError` if the file is not a complete one."""
    file = Path(path)
    try:
        first, *lines = file.read_bytes().splitlines() or [b""]
    except OSError as error:
        raise ConfigurationError(f"snapshot {file} cannot be read: {error.strerror}") from None
    try:
        found = _VERSION.decode(first)
        if found.format == FORMAT and found.version > VERSION:
            raise ConfigurationError(
                f"snapshot {file} has version {found.version}, and this zoho-async reads version "
                f"{VERSION}: upgrade zoho-async"
            )
        header = _HEADER.decode(first)
        if header.entries != len(lines):
            raise ValueError(f"it has {len(lines)} values instead of {header.entries}")
        entries = tuple(_entry(line) for line in lines)
    except (msgspec.DecodeError, ValueError, KeyError, RecursionError) as error:
        raise ConfigurationError(f"snapshot {file} is damaged or no snapshot: {error}") from None
    return SandboxSnapshot(
        seed=header.seed,
        sizes=header.sizes,
        organizations=tuple(header.organizations),
        entries=entries,
    )


def write_snapshot(path: str | os.PathLike[str], snapshot: SandboxSnapshot) -> None:
    """Write a snapshot; it replaces an earlier one. Raises `OSError`."""
    file = Path(path)
    header = _Header(
        format="zoho-async sandbox snapshot",
        version=VERSION,
        seed=snapshot.seed,
        sizes=dict(sorted(snapshot.sizes.items())),
        organizations=list(snapshot.organizations),
        entries=len(snapshot.entries),
    )
    draft = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        with draft.open("wb") as stream:
            stream.writelines(_lines(header, snapshot.entries))
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _lines(header: _Header, entries: Iterable[tuple[str, str, bytes]]) -> Iterable[bytes]:
    yield ENCODER.encode(header) + b"\n"
    for place, item, value in entries:
        try:
            entry = _Entry(place=place, item=item, text=value.decode())
        except UnicodeDecodeError:
            entry = _Entry(place=place, item=item, base64=value)
        yield ENCODER.encode(entry) + b"\n"


def _entry(line: bytes) -> tuple[str, str, bytes]:
    """Decode a line and its value. Raises `ValueError` for a value that no sandbox wrote."""
    entry = _ENTRY.decode(line)
    if (entry.text is None) == (entry.base64 is None):
        raise ValueError(f"{entry.place}/{entry.item} needs either text or base64")
    value = entry.text.encode() if entry.text is not None else entry.base64 or b""
    _, slash, name = entry.place.partition("/")
    if not slash:
        _check_own(entry, value)
    elif name == "files":
        if value:
            msgspec.msgpack.decode(value, type=File)
    else:
        if name != "things" and not (
            entry.item.isascii() and entry.item.isdecimal() and int(entry.item) < _MOST_RECORDS
        ):
            raise ValueError(f"{entry.place} has no record number {entry.item[:20]!r}")
        if value:
            _OBJECT.decode(value)
    return entry.place, entry.item, value


def _check_own(entry: _Entry, value: bytes) -> None:
    """Check a value of the sandbox itself: the first day, or a created organization."""
    if (entry.place, entry.item) == ("sample", "day"):
        if not _FIRST_YEAR <= date.fromisoformat(value.decode()).year <= _LAST_YEAR:
            raise ValueError(f"its day is {value.decode()}")
    elif entry.place != "organizations" or not _ID.fullmatch(entry.item):
        raise ValueError(f"it has a value for {entry.place[:50]!r}, {entry.item[:50]!r}")
    elif not isinstance(_OBJECT.decode(value)["currency_code"], str):
        raise ValueError(f"organization {entry.item} has no currency")
