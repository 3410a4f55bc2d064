"""Rows as Zoho sent them, taken apart into the columns of their shape, a batch at a time.

A batch of objects is decoded once, into structs whose fields are all raw JSON, so that each field
becomes a column by transposing; `zoho_async.export.exact` then decodes column by column. Objects
and lists are batches of raw objects again, and are read the same way.

msgspec ignores fields that a struct does not have, and nothing may be ignored. So the struct
forbids them: a field that was never seen fails the batch, the batch is looked at by name, and the
struct has the new field from then on. Fields that are not described, described ones that do not
fit, and what is left of an object inside come together in the row's ``_extra``, in order of their
names, so that it does not depend on what else was in the batch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any, Final, TypeAlias

import msgspec
from msgspec.structs import astuple

from zoho_async.export.columns import Shape
from zoho_async.export.exact import BLANKS, NULL, Raws, fit
from zoho_async.wire.text import UNDECODABLE, Unreadable, mended

#: Undocumented names that a struct learns; beyond them, names are taken anew for each batch.
_LEARNED: Final = 400
_PLAIN_NAME: Final = re.compile(r"[\w .-]+")

_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_OBJECTS: Final = msgspec.json.Decoder(list[dict[str, msgspec.Raw] | None])
_LISTS: Final = msgspec.json.Decoder(list[list[msgspec.Raw] | None])
_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])


_Fields: TypeAlias = dict[str, msgspec.Raw]


class _NoObject(Exception):
    """Something else stands where an object is called for."""


class Batch:
    """Rows by column: ``values`` in the order of the shape's columns, ``extra`` as JSON text.

    ``lists`` are the elements of the shape's lists; ``misfits`` counts values that are in
    ``_extra`` because they do not fit their columns.
    """

    __slots__ = ("extra", "lists", "misfits", "size", "values")

    def __init__(self, size: int, shape: Shape) -> None:
        self.size: Final = size
        self.values: Final[list[list[Any]]] = [[] for _ in shape.columns]
        self.extra: list[str | None] = []
        self.lists: Final = [Elements([], Batch(0, nested.shape)) for nested in shape.lists]
        self.misfits = 0


class Elements:
    """The elements of one list in every row of a batch: ``counts`` by row, None without a list."""

    __slots__ = ("batch", "counts")

    def __init__(self, counts: list[int | None], batch: Batch) -> None:
        self.counts: Final = counts
        self.batch: Final = batch


class Reader:
    """Reads rows of one shape; remembers the names of undocumented fields it met."""

    def __init__(self, shape: Shape) -> None:
        self.shape: Final = shape
        self._lists: Final = [Reader(nested.shape) for nested in shape.lists]
        self._object: Final = _Object(shape, ())

    def read(self, rows: Sequence[bytes]) -> Batch:
        """The columns of ``rows``. Raises `Unreadable` where one is no JSON object."""
        try:
            return self._read([msgspec.Raw(row) for row in rows])
        except (_NoObject, *UNDECODABLE):
            readable = [msgspec.Raw(_readable(row)) for row in rows]
        try:
            return self._read(readable)
        except (_NoObject, *UNDECODABLE):
            raise Unreadable("a row is no JSON object") from None

    def _read(self, raws: Raws) -> Batch:
        batch = Batch(len(raws), self.shape)
        left, misfits = self._read_object(self._object, raws, batch)
        if misfits:
            raise _NoObject
        batch.extra = [
            _ENCODER.encode(each).decode("utf-8", "replace") if each else None for each in left
        ]
        return batch

    def _read_object(
        self, known: _Object, raws: Raws, batch: Batch
    ) -> tuple[list[_Fields], list[int]]:
        """Put the fields of ``raws`` into ``batch``.

        Gives what no column holds, by row, and the places of what is no object at all.
        """
        misfits: list[int] = []
        try:
            by_name = known.transposed(raws)
        except UNDECODABLE:
            raws, misfits = _only(_OBJECT.decode, raws)
            by_name = known.transposed(raws)
        others = [(name, raws) for name, raws in by_name.items() if name not in known.described]
        left = _left_over(others, len(raws))

        def keep(name: str, places: Sequence[int]) -> None:
            batch.misfits += len(places)
            for place in places:
                left[place][name] = by_name[name][place]

        for name, column in known.columns:
            values, places = fit(self.shape.columns[column].kind, by_name[name])
            batch.values[column] = values
            keep(name, places)
        for name, inner in known.objects:
            rests, places = self._read_object(inner, by_name[name], batch)
            for place, rest in enumerate(rests):
                if rest:
                    left[place][name] = msgspec.Raw(_ENCODER.encode(rest))
            keep(name, places)
        for name, number in known.lists:
            batch.lists[number], places = self._lists[number]._read_lists(by_name[name])
            batch.misfits += batch.lists[number].batch.misfits
            keep(name, places)
        return left, misfits

    def _read_lists(self, raws: Raws) -> tuple[Elements, list[int]]:
        """``raws`` as lists of this shape, and the places of what is no list of objects."""
        try:
            return self._elements(raws), []
        except (_NoObject, *UNDECODABLE):
            raws, misfits = _only(_objects_of, raws)
            return self._elements(raws), misfits

    def _elements(self, raws: Raws) -> Elements:
        lists = _LISTS.decode(b"[" + b",".join(raws) + b"]")
        counts = [None if one is None else len(one) for one in lists]
        return Elements(counts, self._read([raw for one in lists if one for raw in one]))


class _Object:
    """What is known of the objects at one place: described names, then those learned."""

    def __init__(self, shape: Shape, path: tuple[str, ...]) -> None:
        depth = len(path)
        here = [
            (number, column.path[depth:])
            for number, column in enumerate(shape.columns)
            if column.path[:depth] == path
        ]
        below = [
            (number, nested.path[depth:])
            for number, nested in enumerate(shape.lists)
            if nested.path[:depth] == path
        ]
        inner = dict.fromkeys(rest[0] for _, rest in [*here, *below] if len(rest) > 1)
        self.columns: Final = [(rest[0], number) for number, rest in here if len(rest) == 1]
        self.lists: Final = [(rest[0], number) for number, rest in below if len(rest) == 1]
        self.objects: Final = [(name, _Object(shape, (*path, name))) for name in inner]
        everything = (*self.columns, *self.lists, *self.objects)
        self.described: Final = dict.fromkeys(name for name, _ in everything)
        self._names = list(self.described)
        self._learn([])

    def transposed(self, raws: Raws) -> dict[str, Raws]:
        """All fields of ``raws`` by name, each as its raw values by row."""
        joined = b"[" + b",".join(raws) + b"]"
        try:
            rows = self._decoder.decode(joined)
        except msgspec.ValidationError:
            objects = _OBJECTS.decode(joined)
            found = dict.fromkeys(name for one in objects if one for name in one)
            if not self._learn([name for name in found if name not in self._names]):
                nothing: _Fields = {}
                return {
                    name: [(one or nothing).get(name, NULL) for one in objects]
                    for name in self.described | found
                }
            rows = self._decoder.decode(joined)
        if len(rows) != len(raws):
            raise _NoObject
        if not rows:
            return dict.fromkeys(self._names, ())
        empty = self._empty
        columns = zip(*map(astuple, [row or empty for row in rows]), strict=True)
        return dict(zip(self._names, columns, strict=True))

    def _learn(self, found: list[str]) -> bool:
        if len(self._names) + len(found) > len(self.described) + _LEARNED or not all(
            map(_PLAIN_NAME.fullmatch, found)
        ):
            return False
        self._names = [*self._names, *found]
        fields: list[tuple[str, Any, Any]] = [
            (f"f{number}", msgspec.Raw, msgspec.field(name=name, default=NULL))
            for number, name in enumerate(self._names)
        ]
        struct: Any = msgspec.defstruct("Fields", fields, forbid_unknown_fields=True, gc=False)
        self._decoder: msgspec.json.Decoder[Any] = _list_of(struct)
        self._empty: Any = struct()
        return True


def _list_of(struct: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(list[struct | None])


def _left_over(columns: Iterable[tuple[str, Raws]], size: int) -> list[_Fields]:
    """What is not blank in ``columns``, by row."""
    full: list[str] = []
    full_columns: list[Raws] = []
    partly: list[tuple[str, Raws]] = []
    for name, raws in columns:
        joined = b",".join(raws)
        blank = joined.replace(b'""', b"").replace(b"null", b"")
        if len(blank) == len(joined) and b'" "' not in joined:
            full.append(name)
            full_columns.append(raws)
        elif blank.strip(b","):
            partly.append((name, raws))
    rows: list[_Fields]
    if full:
        rows = list(map(dict, map(zip, repeat(full), zip(*full_columns, strict=True))))
    else:
        rows = [{} for _ in range(size)]
    for name, raws in partly:
        for row, raw in zip(rows, raws, strict=True):
            if bytes(raw) not in BLANKS:
                row[name] = raw
    return rows


def _objects_of(text: bytes) -> None:
    """Raises where ``text`` is no list of objects; a blank element is an object without fields."""
    for raw in _LIST.decode(text):
        if (element := bytes(raw)) not in BLANKS:
            _OBJECT.decode(element)


def _only(decode: Callable[[bytes], Any], raws: Raws) -> tuple[Raws, list[int]]:
    kept: list[msgspec.Raw] = []
    misfits: list[int] = []
    for place, raw in enumerate(raws):
        text = bytes(raw)
        try:
            decode(text)
        except UNDECODABLE:
            kept.append(NULL)
            if text not in BLANKS:
                misfits.append(place)
        else:
            kept.append(raw)
    return kept, misfits


def _readable(row: bytes) -> bytes:
    try:
        _OBJECT.decode(row)
    except UNDECODABLE:
        return mended(row)
    return row
