"""Rows as Zoho sent them, taken apart into the columns of their shape, a batch at a time.

`zoho_async.export.objects` makes columns of raw values of the rows, and
`zoho_async.export.exact` decodes them column by column. Objects and lists within rows are batches
of raw objects again, and are read the same way; no row is looked at by itself.

Fields that are not described, described ones that do not fit, and what is left of an object inside
are columns of what is left: raw values, `NULL` where nothing is left of a row. In the end they are
put together as the rows' ``_extra``. What UTF-8 cannot hold gets there too (`surrogates`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import msgspec

from zoho_async.decoders import decoder_of
from zoho_async.export import surrogates
from zoho_async.export.columns import Shape
from zoho_async.export.exact import BLANKS, NULL, Raws, all_alike, fit
from zoho_async.export.objects import Columns, NoObject, Object
from zoho_async.wire.text import UNDECODABLE, Unreadable, mended

#: Bytes of rows taken apart at once: one or two hundred rows, whose values stay in the processor's
#: cache. Ten times as many take twice as long.
_STRETCH: Final = 384 << 10
_LONGEST_BLANK: Final = max(map(len, BLANKS))

_EMPTY: Final = msgspec.Raw(b'""')

_LISTS: Final = decoder_of(list[list[msgspec.Raw] | Literal[""] | None])
_OBJECT: Final = decoder_of(dict[str, msgspec.Raw])
_LIST: Final = decoder_of(list[msgspec.Raw])


class Batch:
    """Rows by column: ``values`` in the order of the shape's columns, ``extra`` as JSON text.

    ``lists`` are the elements of the shape's lists; ``misfits`` counts values that are in
    ``_extra`` because they do not fit their columns.
    """

    __slots__ = ("extra", "lists", "misfits", "size", "values")

    def __init__(self, size: int, shape: Shape) -> None:
        self.size = size
        self.values: Final[list[list[Any]]] = [[] for _ in shape.columns]
        self.extra: list[str | None] = []
        self.lists: Final = [Elements([], Batch(0, nested.shape)) for nested in shape.lists]
        self.misfits = 0

    def add(self, other: Batch) -> None:
        """Put the rows of ``other``, which is of the same shape, behind those that are here."""
        self.size += other.size
        self.misfits += other.misfits
        self.extra += other.extra
        for cells, more in zip(self.values, other.values, strict=True):
            cells += more
        for elements, others in zip(self.lists, other.lists, strict=True):
            elements.counts.extend(others.counts)
            elements.batch.add(others.batch)


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
        self._object: Final = Object(shape, ())

    def read(self, lines: bytes) -> Batch:
        """The columns of rows, each a line. Raises `Unreadable` where one is no JSON object."""
        batch = Batch(0, self.shape)
        start = 0
        while start < len(lines):
            end = lines.find(b"\n", start + _STRETCH) + 1 or len(lines)
            batch.add(self._whole(lines[start:end]))
            start = end
        return batch

    def _whole(self, lines: bytes) -> Batch:
        size = _count(lines)
        try:
            return self._read(lines, size)
        except (NoObject, *UNDECODABLE):
            mended_lines = b"".join(_mended(row) + b"\n" for row in lines.split(b"\n")[:size])
        try:
            batch = self._read(mended_lines, size)
        except (NoObject, *UNDECODABLE):
            raise Unreadable("a row is no JSON object") from None
        surrogates.restore(self.shape, batch)
        return batch

    def _read(self, lines: bytes, size: int) -> Batch:
        batch = Batch(size, self.shape)
        if not size:
            return batch
        left = self._take(self._object, self._object.taken_apart(lines, size), batch)
        batch.extra = [None] * size
        if left:
            written = self._object.put_together(left, size).decode("utf-8", "replace")
            batch.extra = [None if text == "{}" else text for text in written.split("\n")[:size]]
        return batch

    def _take(self, known: Object, columns: Columns, batch: Batch) -> Columns:
        """Put the fields of ``known`` objects into ``batch``; gives what no column holds."""
        left: Columns = {}

        def keep(name: str, places: Sequence[int]) -> None:
            if places:
                batch.misfits += len(places)
                kept = [*left.get(name, [NULL] * batch.size)]
                for place in places:
                    kept[place] = columns[name][place]
                left[name] = kept

        for name in columns.keys() - known.described:
            if (full := _without_blanks(columns[name])) is not None:
                left[name] = full
        for name, number in known.columns:
            batch.values[number], places = fit(self.shape.columns[number].kind, columns[name])
            keep(name, places)
        for name, inner in known.objects:
            rest, places = self._take_object(inner, columns[name], batch)
            if rest is not None:
                left[name] = rest
            keep(name, places)
        for name, number in known.lists:
            batch.lists[number], places = self._lists[number]._read_lists(columns[name])
            batch.misfits += batch.lists[number].batch.misfits
            keep(name, places)
        return left

    def _take_object(
        self, inner: Object, raws: Raws, batch: Batch
    ) -> tuple[Raws | None, list[int]]:
        """Put objects within rows into ``batch``.

        Gives what no column holds of them, by row, and the places of what is no object at all.
        """
        misfits: list[int] = []
        try:
            columns = inner.taken_apart(b"\n".join(raws), batch.size)
        except (NoObject, *UNDECODABLE):
            raws, misfits = _only(_OBJECT.decode, raws)
            columns = inner.taken_apart(b"\n".join(raws), batch.size)
        left = self._take(inner, columns, batch)
        if not left:
            return None, misfits
        written = inner.put_together(left, batch.size).split(b"\n")[: batch.size]
        return [NULL if text == b"{}" else msgspec.Raw(text) for text in written], misfits

    def _read_lists(self, raws: Raws) -> tuple[Elements, list[int]]:
        """``raws`` as lists of this shape, and the places of what is no list of objects."""
        try:
            return self._elements(raws), []
        except (NoObject, *UNDECODABLE):
            raws, misfits = _only(_objects_of, raws)
            return self._elements(raws), misfits

    def _elements(self, raws: Raws) -> Elements:
        joined = b",".join(raws)
        if all_alike(raws, joined):
            lists = _LISTS.decode(b"[%b]" % bytes(raws[0])) * len(raws)
        else:
            lists = _LISTS.decode(b"[%b]" % joined)
        counts = [len(one) if isinstance(one, list) else None for one in lists]
        elements = [raw for one in lists if one for raw in one]
        return Elements(counts, self._read(b"\n".join(elements), len(elements)))


def _without_blanks(raws: Raws) -> Raws | None:
    """``raws`` with `NULL` for all that is blank; None where everything is."""
    if min(map(len, raws)) > _LONGEST_BLANK:
        return raws
    joined = b",".join(raws)
    if all_alike(raws, joined):
        return None if bytes(raws[0]) in BLANKS else raws
    if b'""' in joined or b"null" in joined or b'" "' in joined:
        return [
            NULL if raw is NULL or (len(raw) <= _LONGEST_BLANK and _is_blank(raw)) else raw
            for raw in raws
        ]
    return raws


def _is_blank(raw: msgspec.Raw) -> bool:
    return raw == _EMPTY or bytes(raw) in BLANKS


def _count(lines: bytes) -> int:
    """How many lines there are; `bytes.count` looks at every byte."""
    count = end = 0
    while end := lines.find(b"\n", end) + 1:
        count += 1
    return count


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


def _mended(row: bytes) -> bytes:
    try:
        _OBJECT.decode(row)
    except UNDECODABLE:
        return mended(surrogates.kept(row))
    return row
