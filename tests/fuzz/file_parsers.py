"""Fuzz targets for the files that the package reads again: checkpoints, tokens, profiles, journals.

A damaged file is refused by a documented error that names it, and is never taken for an empty one.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from tests.fuzz import slow_json
from tests.fuzz.slow_json import NotJson, NotJudged
from zoho_async.auth.lease import TokenState
from zoho_async.auth.profiles import Profile, Profiles
from zoho_async.auth.stores.file import FileStore
from zoho_async.clock import SYSTEM_CLOCK
from zoho_async.errors import ConfigurationError
from zoho_async.export.checkpoint import observed
from zoho_async.export.checkpoint.file import StateFile
from zoho_async.export.checkpoint.store import Checkpoint, ResourceState
from zoho_async.export.columns.schema import Observed, ObservedField
from zoho_async.export.destinations.base import Origin
from zoho_async.export.destinations.remote.manifest import Manifest, ManifestLog
from zoho_async.export.destinations.remote.store import ObjectStore
from zoho_async.export.errors import CheckpointRefused, ExportError
from zoho_async.importer.journal import JournalFailed, WriteJournal, _open

_ORIGIN: Final = Origin("10234695", "www.zohoapis.com")
_NOW: Final = 1_790_000_000.0


def checkpoint(data: bytes) -> None:
    """State of an export: what is read can be stored and read again, anything else is refused.

    The first byte chooses the state of a list, its observed fields, or a manifest.
    """
    reader = (_list_state, _observed_fields, _manifest)[data[0] % 3 if data else 0]
    with suppress(CheckpointRefused):
        reader(data[1:])


def accounts(data: bytes) -> None:
    """Tokens and profiles: an unreadable file is refused, and a change keeps the other entries.

    The first byte chooses the file.
    """
    with tempfile.TemporaryDirectory(dir=_memory()) as folder, suppress(ConfigurationError):
        path = Path(folder, "file")
        path.write_bytes(data[1:])
        path.chmod(0o600)
        (_tokens if data and data[0] % 2 else _profiles)(path)


def database(data: bytes) -> None:
    """Damaged SQLite files of an export and of the write journal.

    The first byte chooses the file. Each three more are a change: its place and its value.
    """
    make, use, errors = _FILES[data[0] % 2 if data else 0]
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        path = Path(folder, "folder", "file")
        path.parent.mkdir()
        content = bytearray(_template(make))
        for at in range(1, len(data) - 2, 3):
            content[int.from_bytes(data[at : at + 2]) % len(content)] = data[at + 2]
        path.write_bytes(content)
        whole = _contents(path)
        try:
            found = use(path)
        except errors:
            return
        if whole is not None and whole == _contents_of(make):
            assert found == _use_of(make, use), "a file with the same rows was read otherwise"


def _list_state(text: bytes) -> None:
    with closing(StateFile(Path(":memory:"))) as place:
        opened = Checkpoint.open(place, _ORIGIN, name="it")
        values = [("books.contacts", text.decode("utf-8", "replace"))]
        place.insert("_zoho_resource", ("name", "state"), values)
        states = opened.states()
        assert len(states) == 1, "a state was lost"
        place.execute("DELETE FROM _zoho_resource")
        opened.put(states[0])
        assert opened.states() == states


def _observed_fields(text: bytes) -> None:
    with closing(StateFile(Path(":memory:"))) as place:
        Checkpoint.open(place, _ORIGIN, name="it")
        values = [(1, text.decode("utf-8", "replace"))]
        place.insert("_zoho_observed", ("resource", "fields"), values)
        fields = observed.load(place, 1)
        observed.save(place, 1, fields)
        assert observed.load(place, 1) == fields


class _Store:
    """An object store with one manifest."""

    name = "s3://bucket"

    def __init__(self, content: bytes) -> None:
        self._content = content

    def list_objects(self, _: str) -> list[str]:
        return ["000000000001.json"]

    def read(self, _: str) -> bytes:
        return self._content


def _manifest(content: bytes) -> None:
    def newest(content: bytes) -> Manifest | None:
        return ManifestLog(cast(ObjectStore, _Store(content)), Path("seen")).newest()

    found = newest(content)
    assert found is not None, "a manifest was overlooked"
    assert newest(msgspec.json.encode(found)) == found


def _tokens(path: Path) -> None:
    store = FileStore(path, now=lambda: _NOW)
    before = path.read_bytes()
    store._change_locked("new", lambda state, now: None)
    assert path.read_bytes() == before, "reading changed the file"

    def issue(state: TokenState, now: float) -> None:
        state.token, state.issued, state.life = "1000.new", now, 3600.0

    store._change_locked("new", issue)
    kept, sent = _object(path.read_bytes())["tokens"], _object(before).get("tokens") or {}
    assert kept["new"]["token"] == "1000.new"
    for key, value in sent.items():
        lives = value.get("issued", 0) + value.get("life", 0) > _NOW
        assert key == "new" or not lives or kept[key]["token"] == value.get("token", "")


def _profiles(path: Path) -> None:
    profiles = Profiles(path)
    before = profiles.names()
    assert before == sorted(_object(path.read_bytes()).get("profiles") or {})
    added = Profile(client_id="1000.A", client_secret="b", refresh_token="1000.c", region="eu")
    profiles.put("new", added)
    assert profiles.names() == sorted({*before, "new"})
    found = profiles.get("new")
    assert found is not None
    assert (found.client_id, found.refresh_token) == ("1000.A", "1000.c")


def _make_checkpoint(path: Path) -> None:
    with closing(StateFile(path)) as place:
        opened = Checkpoint.open(place, _ORIGIN, name="it")
        opened.enter("run", "20261128T020000Z")
        state = opened.begin(ResourceState(name="books.contacts"))
        fields: Observed = (ObservedField(("cf_region",), "text"),)
        with place.transaction():
            observed.save(place, state.number, fields)
            index = opened.record_index(state)
            index.add({"460000000026049": 1, "460000000026050": 2}, 0, unknown=True)


def _use_checkpoint(path: Path) -> object:
    with closing(StateFile(path)) as place:
        opened = Checkpoint.open(place, _ORIGIN, name="it")
        states = opened.states()
        return states, [observed.load(place, each.number) for each in states]


def _make_journal(path: Path) -> None:
    with closing(_open(path, _NOW)) as opened:
        opened.execute(
            "INSERT INTO job VALUES ('20261128-0a1b2c', 'digest', 'a.csv', 'books.contacts', "
            "'10234695', 1790000000.0)"
        )
        opened.execute(
            "INSERT INTO write (job, row, digest, intent, body, token, state) VALUES "
            "('20261128-0a1b2c', 2, 'd', ?, '{}', 'zw-0011', 'planned')",
            (b'{"operation":"books.contacts.create","rows":[2],"ids":[],"body":null}',),
        )


def _use_journal(path: Path) -> object:
    with closing(_open(path, _NOW)) as opened:
        journal = WriteJournal(opened, SYSTEM_CLOCK)
        try:
            return journal._jobs("TRUE ORDER BY created, id"), journal._writes("TRUE")
        except sqlite3.Error as problem:  # `WriteJournal._run` does this on a worker thread
            raise JournalFailed("it cannot be used") from problem


_FILES: Final[tuple[tuple[Callable[[Path], None], Callable[[Path], object], Any], ...]] = (
    (_make_checkpoint, _use_checkpoint, (ExportError, sqlite3.Error, OSError)),
    (_make_journal, _use_journal, (ConfigurationError, JournalFailed)),
)


@cache
def _template(make: Callable[[Path], None]) -> bytes:
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        path = Path(folder, "folder", "file")
        path.parent.mkdir()
        with closing(sqlite3.connect(path)) as opened:
            opened.execute("PRAGMA page_size = 512")  # the fewer bytes, the more of them matter
            opened.execute("PRAGMA auto_vacuum = 0")
        make(path)
        return path.read_bytes()


@cache
def _use_of(make: Callable[[Path], None], use: Callable[[Path], object]) -> object:
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        path = Path(folder, "folder", "file")
        path.parent.mkdir()
        path.write_bytes(_template(make))
        return use(path)


@cache
def _contents_of(make: Callable[[Path], None]) -> object:
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        path = Path(folder, "file")
        path.write_bytes(_template(make))
        return _contents(path)


def _contents(path: Path) -> object:
    """All that a SQLite file holds, or None if SQLite finds a fault in it."""
    address = f"{path.as_uri()}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(address, uri=True)) as opened:
            if opened.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
                return None
            marks = [
                opened.execute(f"PRAGMA {name}").fetchall()
                for name in ("application_id", "user_version", "encoding")
            ]
            tables = opened.execute("SELECT * FROM sqlite_master ORDER BY name").fetchall()
            names = [row[1] for row in tables if row[0] == "table"]
            rows = [opened.execute(f'SELECT * FROM "{name}"').fetchall() for name in names]
            return marks, tables, rows
    except (sqlite3.Error, UnicodeDecodeError):
        return None


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = slow_json.read(text)
    except (NotJson, NotJudged):
        return {}
    return found if isinstance(found, dict) else {}


@cache
def _memory() -> str | None:
    """A folder in memory, if there is one."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
