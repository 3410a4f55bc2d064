"""Choose and protect columns: pure functions on the bytes of a row and on its described fields.

Model
-----
``--select``, ``--exclude``, ``--hash`` and ``--mask`` are rules: ``LISTS:COLUMN,COLUMN``. The rules
of a list make its `ColumnRules`. A `Shaper` applies them to each row before it is written, and
narrows the table's fields in the same way. So a hidden column does not exist in any destination.

- ``exclude`` removes a column. ``hash`` replaces a value by its keyed digest, ``mask`` by its form.
  A plain name matches at every depth (``email`` also in ``contact_persons``), a dotted name one
  place (``contact_persons.email``). Zoho's copies ``NAME_formatted`` and ``NAME_unformatted`` match
  too. A name ``cf_...`` also matches the element of ``custom_fields`` with that API name. An
  element without one may be any custom field, so each rule for a custom field applies to it. Of a
  hashed or masked element, only what describes the field (id, label, type) stays as it is.
- ``select`` keeps what it names and drops the rest: a plain name is a column of the row itself.
- If several apply, ``exclude`` precedes ``hash``, and ``hash`` precedes ``mask``.
- The row's id, and for children the key and the parent's id, are always kept.

A digest is ``HMAC-SHA256(key, text)`` in hexadecimal digits. The text is the value as Zoho sent it,
in UTF-8: case, blanks and the digits of a number count. So equal values have equal digests in every
list and run, and can be joined. A mask keeps blanks and ASCII punctuation, and of the other
characters the last quarter, at most four; each other one becomes ``*``. A masked ``true`` or
``false`` becomes ``null``. Blank values stay blank. Hashed and masked columns are text.

Invariant
---------
No byte that depends on a hidden value reaches the destination, the checkpoint included. A keyed
digest is the exception that was asked for.

Why it holds
------------
Rows are shaped before they are written. The record index has digests of shaped rows, together with
``last_modified_time``, by which a change in hidden columns is noticed. In a list without that
field, a change that only hidden columns show is not noticed. Queues have ids only. An object or a
list of which everything is dropped is dropped too.

Unknown
-------
Which other columns repeat a value under another name, such as ``customer_name`` of invoices. Name
them too. Documents are saved as Zoho sends them.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from zoho_async._msgspec import decoder_of
from zoho_async.description import Field
from zoho_async.errors import ConfigurationError
from zoho_async.export.checkpoint.records import digest
from zoho_async.export.columns.decode import BLANKS
from zoho_async.export.destinations.base import Table
from zoho_async.wire import Unreadable
from zoho_async.wire.page import times_of
from zoho_async.wire.text import UNDECODABLE, repaired

#: What becomes of a value. Of a value to ``open``, only something inside it is kept.
Action: TypeAlias = Literal["keep", "open", "drop", "hash", "mask"]
Path: TypeAlias = tuple[str, ...]

_COPIES: Final = ("_formatted", "_unformatted")
#: The object of a full record that has the values of its custom fields by name.
_CUSTOM: Final = "custom_field_hash"
#: The end of the names of lists of custom fields: ``item_custom_fields``.
_LIST_OF_CUSTOM: Final = "custom_fields"
#: What describes a custom field in an element of such a list. The rest may depend on its value.
_DESCRIBING: Final = frozenset(
    {
        *("customfield_id", "custom_field_id", "label", "api_name", "placeholder"),
        *("data_type", "search_entity", "index", "order"),
    }
)
_FLAGS: Final = ("is_", "show_", "edit_")
_SHORTEST_KEY: Final = 16
_KEPT: Final = 4
#: Paths whose action is remembered. Names that depend on data could be without number.
_REMEMBERED: Final = 5_000
_OBJECT: Final = decoder_of(dict[str, msgspec.Raw])
_LIST: Final = decoder_of(list[msgspec.Raw])
_TEXT: Final = decoder_of(str)


class HashKey:
    """The secret key of ``--hash``. Its repr does not show it.

    Raises `ConfigurationError` for a key of less than 16 characters.
    """

    def __init__(self, key: str) -> None:
        if len(key) < _SHORTEST_KEY:
            raise ConfigurationError(
                f"the key of --hash must have at least {_SHORTEST_KEY} characters: "
                "make one with `openssl rand -hex 32`"
            )
        self._key: Final = key.encode()

    def digest(self, text: str) -> str:
        """Return the digest of a value, 64 hexadecimal digits."""
        return hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256").hex()

    @property
    def fingerprint(self) -> str:
        """Text that differs for each key."""
        return self.digest("zoho-async key of --hash")[:16]


class ColumnRules(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The rules of one list: patterns of columns. ``select=None`` keeps every column.

    ``key`` is the fingerprint of the key of ``hash``.
    """

    select: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    hash: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()
    key: str = ""

    @classmethod
    def of_text(cls, text: str) -> ColumnRules:
        """Return the shape that `text` describes."""
        return _SHAPE.decode(text) if text else cls()

    @property
    def text(self) -> str:
        """The shape as comparable text, "" if it changes nothing."""
        return "" if self == ColumnRules() else msgspec.json.encode(self).decode()

    def action(self, path: Path) -> Action:
        """Return what becomes of the value at ``path``, and of what is inside it."""
        selected = self._selected(path)
        if selected == "drop" or _is_matched(self.exclude, path):
            return "drop"
        if selected == "open":
            return "open"
        if _is_matched(self.hash, path):
            return "hash"
        return "mask" if _is_matched(self.mask, path) else "keep"

    def unnamed_action(self) -> Action:
        """Return what becomes of a custom field whose API name is unknown: the strictest action."""
        rules: tuple[tuple[Action, tuple[str, ...]], ...] = (
            ("drop", self.exclude),
            ("hash", self.hash),
            ("mask", self.mask),
        )
        for action, patterns in rules:
            if any(map(_may_be_custom, patterns)):
                return action
        return "keep"

    def _selected(self, path: Path) -> Action:
        """Whether ``path`` or something above it is selected, or something inside it."""
        found: Action = "keep" if self.select is None else "drop"
        for pattern in self.select or ():
            parts = pattern.split(".")
            if parts[0].startswith("cf_") and len(parts) == 1 and path[0] == _CUSTOM:
                parts = [_CUSTOM, *parts]
            if all(fnmatchcase(name, part) for name, part in zip(path, parts, strict=False)):
                if len(parts) <= len(path):
                    return "keep"
                found = "open"
        return found


_SHAPE: Final = decoder_of(ColumnRules)


def _is_matched(patterns: Sequence[str], path: Path) -> bool:
    """Whether a pattern matches ``path`` or something above it."""
    return any(
        matches(pattern, path[:length])
        for pattern in patterns
        for length in range(1, len(path) + 1)
    )


def _may_be_custom(pattern: str) -> bool:
    """Whether ``pattern`` can match the API name of a custom field."""
    start = re.split(r"[*?[]", pattern.rpartition(".")[2])[0]
    return start.startswith("cf_") or "cf_".startswith(start)


def matches(pattern: str, path: Path) -> bool:
    """Whether ``pattern`` names the value at ``path``: a plain name at any depth."""
    names = [_names(path[-1])] if "." not in pattern else [_names(name) for name in path]
    parts = pattern.split(".")
    return len(parts) == len(names) and all(
        any(fnmatchcase(name, part) for name in some)
        for some, part in zip(names, parts, strict=True)
    )


def _names(name: str) -> list[str]:
    folded = name.casefold()
    return [folded, *(folded.removesuffix(end) for end in _COPIES if folded.endswith(end))]


class Shaper:
    """Applies ``shape`` to the rows of one list.

    ``kept`` are fields of the row that no rule removes or changes. Without a ``key``, only tables
    are narrowed.
    """

    def __init__(
        self, shape: ColumnRules, kept: Iterable[str] = (), key: HashKey | None = None
    ) -> None:
        self.shape: Final = shape
        self.text: Final = shape.text
        self._kept: Final = frozenset(kept)
        self._key: Final = key
        self._actions: Final[dict[Path, Action]] = {}

    def __repr__(self) -> str:
        return f"Shaper({self.text})"

    # -- rows -------------------------------------------------------------------------------------

    def apply(self, row: bytes) -> bytes:
        """Return the row as it is written. Raises `Unreadable` if it is not a JSON object."""
        if not self.text:
            return row
        try:
            fields = _OBJECT.decode(row)
        except UNDECODABLE:
            fields = _decode_repaired(row)
        return msgspec.json.encode(self._fields(fields, ()))

    def digest(self, row: bytes) -> int:
        """Return the digest of a list's row, which tells whether it changed."""
        if not self.text:
            return digest(row)
        return digest(b"%b\n%r" % (self.apply(row), times_of(row).modified))

    def digests(self, rows: Sequence[bytes]) -> list[int]:
        """Return the digest of each of ``rows`` (see `digest`)."""
        return [*map(self.digest if self.text else digest, rows)]

    def _fields(self, fields: Mapping[str, msgspec.Raw], path: Path) -> dict[str, msgspec.Raw]:
        kept: dict[str, msgspec.Raw] = {}
        for name, raw in fields.items():
            here = (*path, name)
            action = self._action(here)
            value = None if action == "drop" else self._value(raw, here, action)
            if value is not None:
                kept[name] = value
        return kept

    def _action(self, path: Path) -> Action:
        action = self._actions.get(path)
        if action is None:
            own = len(path) == 1 and path[0] in self._kept
            action = "keep" if own else self.shape.action(tuple(map(str.casefold, path)))
            if len(self._actions) < _REMEMBERED:
                self._actions[path] = action
        return action

    def _value(self, raw: msgspec.Raw, path: Path, action: Action) -> msgspec.Raw | None:
        """Return what is kept of a value, None if that is nothing."""
        text = bytes(raw)
        first = text.lstrip()[:1]
        if first == b"{":
            fields = _decode_object(text)
            kept = self._fields(fields, path)
            custom = self._custom_action(fields, path)
            if custom in ("drop", "hash", "mask"):
                kept = self._custom_field(kept, custom)
            return None if fields and not kept else msgspec.Raw(msgspec.json.encode(kept))
        if first == b"[":
            elements = _decode_list(text)
            values = [self._value(one, path, action) for one in elements]
            rest = [one for one in values if one is not None]
            return None if elements and not rest else msgspec.Raw(msgspec.json.encode(rest))
        if action == "open":
            return None
        return raw if action == "keep" or text in BLANKS else self._protected(text, action)

    def _custom_action(self, fields: Mapping[str, msgspec.Raw], path: Path) -> Action:
        """Return what becomes of a custom field that is an element of a list."""
        for name in ("api_name", "placeholder"):
            text = bytes(fields.get(name, b""))
            if text.startswith(b'"cf_'):
                return self._action((*path, _plain(text)))
        return self.shape.unnamed_action() if path[-1].endswith(_LIST_OF_CUSTOM) else "keep"

    def _custom_field(
        self, fields: Mapping[str, msgspec.Raw], action: Action
    ) -> dict[str, msgspec.Raw]:
        if action == "drop":
            return {}
        return {
            name: raw if _describes_field(name, raw) else self._forced(raw, action)
            for name, raw in fields.items()
        }

    def _forced(self, raw: msgspec.Raw, action: Action) -> msgspec.Raw:
        """Protect a value of a custom field, which may be a list of texts."""
        text = bytes(raw)
        if text.lstrip()[:1] in (b"{", b"["):
            value = self._protect(text.decode("utf-8", "replace"), action)
            return msgspec.Raw(msgspec.json.encode(value))
        return raw if text in BLANKS else self._protected(text, action)

    def _protected(self, text: bytes, action: Action) -> msgspec.Raw:
        text = text.strip()
        if action == "mask" and text in (b"true", b"false"):
            return msgspec.Raw(b"null")
        value = self._protect(_plain(text), action)
        return msgspec.Raw(msgspec.json.encode(value))

    def _protect(self, text: str, action: Action) -> str:
        if action == "mask":
            return masked(text)
        assert self._key is not None, "rows are hashed with a key"
        return self._key.digest(text)

    # -- tables -----------------------------------------------------------------------------------

    def narrow(self, table: Table) -> Table:
        """Return ``table`` with the columns that shaped rows have."""
        if not self.text:
            return table
        return replace(table, fields=self._narrow(table.fields, ()))

    def _narrow(self, fields: Iterable[Field], path: Path) -> tuple[Field, ...]:
        kept: list[Field] = []
        for field in fields:
            here = (*path, field.name)
            action = self._action(here)
            if action == "drop":
                continue
            if field.fields:
                inside = self._narrow(field.fields, here)
                kept += [replace(field, fields=inside)] if inside else []
            elif action == "keep":
                kept.append(field)
            elif action != "open":
                kept.append(_as_text(field))
        return tuple(kept)


def _describes_field(name: str, raw: msgspec.Raw) -> bool:
    """Whether a member of an element describes the custom field, not its value."""
    is_flag = name.startswith(_FLAGS) and bytes(raw) in (b"true", b"false")
    return is_flag or name in _DESCRIBING


def _as_text(field: Field) -> Field:
    if field.kind in ("object", "any"):
        return field
    if field.kind == "list":
        return replace(field, element="text" if field.element else None)
    return Field(name=field.name, kind="text")


def masked(text: str) -> str:
    """Return the form of ``text``: see the module."""
    places = [place for place, each in enumerate(text) if each.isalnum() or not each.isascii()]
    hidden = set(places[: len(places) - min(_KEPT, len(places) // 4)])
    return "".join("*" if place in hidden else each for place, each in enumerate(text))


def _plain(text: bytes) -> str:
    """Return the text of a plain JSON value: of a number as Zoho sent it."""
    if not text.startswith(b'"'):
        return text.decode("utf-8", "replace")
    try:
        return _TEXT.decode(text)
    except UNDECODABLE:
        return _TEXT.decode(repaired(text))


def _decode_object(text: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _OBJECT.decode(text)
    except UNDECODABLE:
        return _decode_repaired(text)


def _decode_repaired(text: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _OBJECT.decode(repaired(text))
    except UNDECODABLE:
        raise Unreadable("a row is not a JSON object") from None


def _decode_list(text: bytes) -> list[msgspec.Raw]:
    try:
        return _LIST.decode(text)
    except UNDECODABLE:
        pass
    try:
        return _LIST.decode(repaired(text))
    except UNDECODABLE:
        raise Unreadable("a row holds a list that is not JSON") from None
