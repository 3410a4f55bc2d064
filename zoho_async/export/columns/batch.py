"""Split rows into the columns of their shape, one batch at a time.

Model
-----
This module splits rows into columns of raw values, and `zoho_async.export.columns.decode` decodes
each column. Objects and lists inside rows are batches of raw objects, and are read the same way. No
row is handled alone.

Undescribed fields, misfits, and undescribed fields of inner objects are collected as columns of raw
values, `NULL` for rows without one. At the end they are encoded as the ``_extra`` of each row. Text
that UTF-8 cannot hold goes there too (`zoho_async.export.columns.surrogates`). Digits of numbers
that their columns do not hold become the ``_exact`` of each row.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec.structs import astuple

from zoho_async._msgspec import decoder_of
from zoho_async.export.columns import surrogates
from zoho_async.export.columns.custom import with_custom_fields
from zoho_async.export.columns.decode import BLANKS, NULL, RawValues, all_equal, coerce
from zoho_async.export.columns.numbers import NumberStorage
from zoho_async.export.columns.observed import Observer, ShapeGrew
from zoho_async.export.columns.schema import ColumnShape, with_observed
from zoho_async.wire.text import UNDECODABLE, Unreadable, repaired

#: The fields of a batch of objects: raw values by row, `NULL` if a field is missing.
Columns: TypeAlias = dict[str, RawValues]

#: The digits of numbers that their columns do not hold, by row and by the column's name.
ExactNumbers: TypeAlias = dict[int, dict[str, str]]

#: The most field names that a struct learns. With more names, each batch is decoded to dicts.
_MAX_NAMES: Final = 800
_PLAIN_NAME: Final = re.compile(r"[\w .-]+")

_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_OBJECTS: Final = decoder_of(dict[str, msgspec.Raw] | Literal[""] | None)


class NotAnObject(Exception):
    """A value is not an object although an object is expected."""


class ObjectFields:
    """The fields of the objects at ``path`` in rows of ``shape``.

    ``columns`` and ``lists`` are names with their indexes in the shape. ``objects`` are inner
    objects. Undescribed names are learned while reading.
    """

    def __init__(self, shape: ColumnShape, path: tuple[str, ...]) -> None:
        depth = len(path)
        self.path: Final = path
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
        self.objects: Final = [(name, ObjectFields(shape, (*path, name))) for name in inner]
        everything = (*self.columns, *self.lists, *self.objects)
        self.described: Final = dict.fromkeys(name for name, _ in everything)
        self._fields = _Fields(filter(_PLAIN_NAME.fullmatch, self.described))
        self._unusual: Final = self.described.keys() - set(self._fields.names)
        self._left = _Fields(())

    def decode_columns(self, lines: bytes, size: int) -> Columns:
        """The columns of ``size`` objects. A blank is an object without fields.

        Raises `NotAnObject` or an error of msgspec if a value is not an object.
        """
        try:
            rows = self._fields.decoder.decode_lines(lines)
        except msgspec.ValidationError:
            objects = _OBJECTS.decode_lines(lines)
            found = dict.fromkeys(name for one in objects if one for name in one)
            fields = self._fields.with_names(found)
            if fields is None:
                return _columns_by_name(objects, self.described | found, size)
            self._fields = fields
            rows = fields.decoder.decode_lines(lines)
        if len(rows) != size:
            raise NotAnObject
        if not rows:
            return dict.fromkeys((*self._fields.names, *self._unusual), ())
        empty = self._fields.empty
        columns = zip(*map(astuple, [row or empty for row in rows]), strict=True)
        named: Columns = dict(zip(self._fields.names, columns, strict=True))
        for name in self._unusual:
            named[name] = [NULL] * size
        return named

    def encode_rows(self, columns: Columns, size: int) -> bytes:
        """Encode the values that are not `NULL` as one object per line."""
        fields = self._left.with_names(columns)
        if fields is None:
            return _ENCODER.encode_lines(
                [
                    {name: raw for name, raw in zip(columns, row, strict=True) if raw is not NULL}
                    for row in zip(*columns.values(), strict=True)
                ]
            )
        self._left = fields
        nothing = [NULL] * size
        by_row = map(fields.struct, *[columns.get(name, nothing) for name in fields.names])
        return _ENCODER.encode_lines(list(by_row))


class _Fields:
    """A struct of raw fields for objects that have only these ``names``."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names: Final = list(names)
        fields: list[tuple[str, Any, Any]] = [
            (f"f{number}", msgspec.Raw, msgspec.field(name=name, default=NULL))
            for number, name in enumerate(self.names)
        ]
        self.struct: Final[Any] = msgspec.defstruct(
            "Fields", fields, forbid_unknown_fields=True, omit_defaults=True, gc=False
        )
        self.empty: Final[Any] = self.struct()
        blank: Any = Literal[""]
        self.decoder: Final[msgspec.json.Decoder[Any]] = decoder_of(self.struct | blank | None)

    def with_names(self, names: Iterable[str]) -> _Fields | None:
        """A struct that also has ``names``; None if there are too many or unusual names."""
        new = [name for name in names if name not in self.names]
        if not new:
            return self
        if len(self.names) + len(new) > _MAX_NAMES or not all(map(_PLAIN_NAME.fullmatch, new)):
            return None
        return _Fields(sorted([*self.names, *new]))


def _columns_by_name(objects: Sequence[Any], names: Iterable[str], size: int) -> Columns:
    if len(objects) != size:
        raise NotAnObject
    nothing: dict[str, msgspec.Raw] = {}
    return {name: [(one or nothing).get(name, NULL) for one in objects] for name in names}


#: Bytes of rows split at once: one or two hundred rows, which stay in the processor's cache. Ten
#: times as many rows at once take twice as long per row.
_PORTION: Final = 384 << 10
_BLANK_LINES: Final = [b"\n%b\n" % blank for blank in BLANKS]

_LISTS: Final = decoder_of(list[list[msgspec.Raw] | Literal[""] | None])
_OBJECT: Final = decoder_of(dict[str, msgspec.Raw])
_LIST: Final = decoder_of(list[msgspec.Raw])


class RowBatch:
    """Rows by column: ``values`` in the order of the shape's columns.

    ``exact`` and ``extra`` are JSON texts. ``lists`` holds the elements of the shape's lists.
    ``misfits`` counts values that are in ``_extra`` because they do not fit their columns, by the
    path of the column. ``rounded`` counts numbers that are in ``_exact``, by field
    (``line_items.rate``).
    """

    __slots__ = ("exact", "extra", "lists", "misfits", "rounded", "size", "values")

    def __init__(self, size: int, shape: ColumnShape) -> None:
        self.size = size
        self.values: Final[list[list[Any]]] = [[] for _ in shape.columns]
        self.exact: list[str | None] = []
        self.extra: list[str | None] = []
        self.lists: Final = [ListElements([], RowBatch(0, nested.shape)) for nested in shape.lists]
        self.misfits: Final[Counter[tuple[str, ...]]] = Counter()
        self.rounded: Final[Counter[str]] = Counter()

    def add(self, other: RowBatch) -> None:
        """Append the rows of ``other``, which has the same shape."""
        self.size += other.size
        self.misfits.update(other.misfits)
        self.rounded.update(other.rounded)
        self.exact += other.exact
        self.extra += other.extra
        for cells, more in zip(self.values, other.values, strict=True):
            cells += more
        for elements, others in zip(self.lists, other.lists, strict=True):
            elements.counts.extend(others.counts)
            elements.batch.add(others.batch)


class ListElements:
    """The elements of one list in a batch. ``counts`` is per row, None for a row without it."""

    __slots__ = ("batch", "counts")

    def __init__(self, counts: list[int | None], batch: RowBatch) -> None:
        self.counts: Final = counts
        self.batch: Final = batch


class ColumnReader:
    """Reads rows of one shape. ``numbers`` is how the destination stores numbers.

    An ``observer`` learns the undescribed fields of the rows. If it learns one that ``shape``
    lacks, `read` raises `ShapeGrew`, and the rows must be read again with a larger shape.
    """

    def __init__(
        self,
        shape: ColumnShape,
        numbers: NumberStorage = "digits",
        observer: Observer | None = None,
    ) -> None:
        self.shape: Final = shape
        self._numbers: Final[NumberStorage] = numbers
        self._observer: Final = observer
        self._lists: Final = [ColumnReader(nested.shape, numbers) for nested in shape.lists]
        self._object: Final = ObjectFields(shape, ())

    def read(self, lines: bytes) -> RowBatch:
        """Read one row per line. Raises `Unreadable` if a row is not a JSON object."""
        batch = RowBatch(0, self.shape)
        for portion in _portions(lines):
            batch.add(self._read_portion(portion))
            if self._observer is not None and self._observer.end_portion():
                raise ShapeGrew
        if self._observer is not None:
            self._observer.conflicts.update(batch.misfits)
        return batch

    def read_all(self, texts: Iterable[bytes]) -> Iterator[tuple[bytes, RowBatch]]:
        """Read all ``texts``, each some lines, and return each with its rows.

        Before it raises `ShapeGrew`, it observes as many of the following texts as it has read. So
        reading all again, until nothing is new, takes at most about four times as long.
        """
        conflicts = Counter(self._observer.conflicts if self._observer else ())
        rest = iter(texts)
        for number, lines in enumerate(rest):
            try:
                batch = self.read(lines)
            except ShapeGrew:
                for more in (lines, *islice(rest, number)) if number else ():
                    self._observe(more)
                if self._observer is not None:  # all is read again, and counted again
                    self._observer.conflicts.clear()
                    self._observer.conflicts.update(conflicts)
                raise
            yield lines, batch

    def _observe(self, lines: bytes) -> None:
        for portion in _portions(lines):
            self._read_portion(portion)
            if self._observer is not None:
                self._observer.end_portion()

    def _read_portion(self, lines: bytes) -> RowBatch:
        size = _count(lines)
        try:
            return self._read(lines, size)
        except (NotAnObject, *UNDECODABLE):
            repaired_lines = b"".join(_repaired(row) + b"\n" for row in lines.split(b"\n")[:size])
        try:
            batch = self._read(repaired_lines, size)
        except (NotAnObject, *UNDECODABLE):
            raise Unreadable("a row is not a JSON object") from None
        surrogates.restore(self.shape, batch)
        return batch

    def _read(self, lines: bytes, size: int) -> RowBatch:
        batch = RowBatch(size, self.shape)
        if not size:
            return batch
        exact: ExactNumbers = {}
        columns = self._object.decode_columns(lines, size)
        if self._observer is not None:
            columns = with_custom_fields(columns)
        left = self._read_fields(self._object, columns, batch, exact)
        batch.exact = [None] * size
        for place, texts in exact.items():
            batch.exact[place] = _ENCODER.encode(texts).decode()
        batch.extra = [None] * size
        if left:
            written = self._object.encode_rows(left, size).decode("utf-8", "replace")
            batch.extra = [None if text == "{}" else text for text in written.split("\n")[:size]]
        return batch

    def _read_fields(
        self, known: ObjectFields, columns: Columns, batch: RowBatch, exact: ExactNumbers
    ) -> Columns:
        """Read the described fields into ``batch`` and return the values that do not fit.

        Add the digits of numbers that their columns do not hold to ``exact``.
        """
        left: Columns = {}
        observer = self._observer

        def keep(name: str, places: Sequence[int]) -> None:
            if places:
                path = (*known.path, name)
                batch.misfits[path] += len(places)
                kept = [*left.get(name, [NULL] * batch.size)]
                for place in places:
                    kept[place] = columns[name][place]
                left[name] = kept
                if observer is not None:
                    observer.note_misfits(path, [columns[name][place] for place in places])

        for name in columns.keys() - known.described:
            if (full := _blanks_to_null(columns[name])) is not None:
                left[name] = full
                if observer is not None:
                    observer.see((*known.path, name), full)
        for name, number in known.columns:
            column = self.shape.columns[number]
            coerced = coerce(column.kind, columns[name], self._numbers)
            batch.values[number] = coerced.cells
            keep(name, coerced.misfits)
            if coerced.exact:
                batch.rounded[".".join(column.path)] += len(coerced.exact)
                for place, digits in coerced.exact.items():
                    exact.setdefault(place, {})[column.name] = digits
        for name, inner in known.objects:
            rest, places = self._read_object(inner, columns[name], batch, exact)
            if rest is not None:
                left[name] = rest
            keep(name, places)
        for name, number in known.lists:
            batch.lists[number], places = self._lists[number]._read_lists(columns[name])
            inside = batch.lists[number].batch
            whole = self.shape.lists[number].path
            misfits = inside.misfits.items()
            batch.misfits.update({(*whole, *below): count for below, count in misfits})
            path = ".".join(whole)
            batch.rounded.update({f"{path}.{one}": n for one, n in inside.rounded.items()})
            keep(name, places)
        return left

    def _read_object(
        self, inner: ObjectFields, raws: RawValues, batch: RowBatch, exact: ExactNumbers
    ) -> tuple[RawValues | None, list[int]]:
        """Read inner objects into ``batch``.

        Return the values that no column holds, by row, and the indexes of non-objects.
        """
        misfits: list[int] = []
        try:
            columns = inner.decode_columns(b"\n".join(raws), batch.size)
        except (NotAnObject, *UNDECODABLE):
            raws, misfits = _keep_decodable(_OBJECT.decode, raws)
            columns = inner.decode_columns(b"\n".join(raws), batch.size)
        left = self._read_fields(inner, columns, batch, exact)
        if not left:
            return None, misfits
        written = inner.encode_rows(left, batch.size).split(b"\n")[: batch.size]
        return [NULL if text == b"{}" else msgspec.Raw(text) for text in written], misfits

    def _read_lists(self, raws: RawValues) -> tuple[ListElements, list[int]]:
        """Read ``raws`` as lists of this shape. Also return the indexes of other values."""
        try:
            return self._elements(raws), []
        except (NotAnObject, *UNDECODABLE):
            raws, misfits = _keep_decodable(_objects_of, raws)
            return self._elements(raws), misfits

    def _elements(self, raws: RawValues) -> ListElements:
        joined = b",".join(raws)
        if all_equal(raws, joined):
            lists = _LISTS.decode(b"[%b]" % bytes(raws[0])) * len(raws)
        else:
            lists = _LISTS.decode(b"[%b]" % joined)
        counts = [len(one) if isinstance(one, list) else None for one in lists]
        elements = [raw for one in lists if one for raw in one]
        return ListElements(counts, self._read(b"\n".join(elements), len(elements)))


def reader_of(
    shape: ColumnShape, observer: Observer | None, numbers: NumberStorage = "digits"
) -> ColumnReader:
    """A reader for ``shape`` with the fields that ``observer`` has learned."""
    if observer is not None:
        shape = with_observed(shape, observer.fields)
    return ColumnReader(shape, numbers, observer)


def _portions(lines: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(lines):
        end = lines.find(b"\n", start + _PORTION) + 1 or len(lines)
        yield lines[start:end]
        start = end


def _blanks_to_null(raws: RawValues) -> RawValues | None:
    """``raws`` with `NULL` for each blank, or None if all are blank."""
    if raws[0] == raws[-1] and all_equal(raws, b",".join(raws)):
        return None if bytes(raws[0]) in BLANKS else raws
    joined = b"\n%b\n" % b"\n".join(raws)
    if not any(line in joined for line in _BLANK_LINES):
        return raws
    texts = joined[1:].split(b"\n")[: len(raws)]
    return [NULL if text in BLANKS else raw for text, raw in zip(texts, raws, strict=True)]


def _count(lines: bytes) -> int:
    """The number of lines. Faster than `bytes.count`, which checks every byte."""
    count = end = 0
    while end := lines.find(b"\n", end) + 1:
        count += 1
    return count


def _objects_of(text: bytes) -> None:
    """Raise if ``text`` is not a list of objects. A blank element counts as an empty object."""
    for raw in _LIST.decode(text):
        if (element := bytes(raw)) not in BLANKS:
            _OBJECT.decode(element)


def _keep_decodable(decode: Callable[[bytes], Any], raws: RawValues) -> tuple[RawValues, list[int]]:
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


def _repaired(row: bytes) -> bytes:
    try:
        _OBJECT.decode(row)
    except UNDECODABLE:
        return repaired(surrogates.mark_halves(row))
    return row
