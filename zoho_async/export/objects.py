"""JSON objects of one place as columns of raw values, and columns as objects again.

A batch of objects is decoded once, into structs whose fields are all raw JSON, so that each field
becomes a column by transposing. msgspec ignores fields that a struct does not have, and nothing may
be ignored. So the struct forbids them: a field that was never seen fails the batch, the batch is
looked at by name, and the struct has the new field from then on.

The way back is a struct too: msgspec leaves out a field whose value is its default, that very
object. So columns with `NULL` itself where they hold nothing become objects without a look at any
value. Names are in order, so that an object does not depend on what else was in its batch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec.structs import astuple

from zoho_async.decoders import decoder_of
from zoho_async.export.columns import Shape
from zoho_async.export.exact import NULL, Raws

#: The fields of a batch of objects: raw values by row, `NULL` itself where a field is missing.
Columns: TypeAlias = dict[str, Raws]

#: Undocumented names that a struct learns; beyond them, names are taken anew for each batch.
_LEARNED: Final = 400
_PLAIN_NAME: Final = re.compile(r"[\w .-]+")

_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_OBJECTS: Final = decoder_of(dict[str, msgspec.Raw] | Literal[""] | None)


class NoObject(Exception):
    """Something else stands where an object is called for."""


class Object:
    """What is known of the objects at ``path`` in rows of ``shape``: described names, and others.

    ``columns`` and ``lists`` are names with their numbers in the shape; ``objects`` are within.
    """

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
        self.objects: Final = [(name, Object(shape, (*path, name))) for name in inner]
        everything = (*self.columns, *self.lists, *self.objects)
        self.described: Final = dict.fromkeys(name for name, _ in everything)
        self._fields = _Fields(self.described)
        self._left = _Fields(())

    def taken_apart(self, lines: bytes, size: int) -> Columns:
        """The columns of ``size`` objects, a blank being one without fields.

        Raises `NoObject` or what msgspec does where they are something else.
        """
        try:
            rows = self._fields.decoder.decode_lines(lines)
        except msgspec.ValidationError:
            objects = _OBJECTS.decode_lines(lines)
            found = dict.fromkeys(name for one in objects if one for name in one)
            fields = self._fields.with_names(found)
            if fields is None:
                return _by_name(objects, self.described | found, size)
            self._fields = fields
            rows = fields.decoder.decode_lines(lines)
        if len(rows) != size:
            raise NoObject
        if not rows:
            return dict.fromkeys(self._fields.names, ())
        empty = self._fields.empty
        columns = zip(*map(astuple, [row or empty for row in rows]), strict=True)
        return dict(zip(self._fields.names, columns, strict=True))

    def put_together(self, columns: Columns, size: int) -> bytes:
        """Objects of what is not `NULL` in ``columns``, a line each."""
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
    """A struct of raw fields that holds any object of no other ``names``."""

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
        """One that has ``names`` too, in order; None where they are too many or too odd."""
        new = [name for name in names if name not in self.names]
        if not new:
            return self
        if len(self.names) + len(new) > _LEARNED or not all(map(_PLAIN_NAME.fullmatch, new)):
            return None
        return _Fields(sorted([*self.names, *new]))


def _by_name(objects: Sequence[Any], names: Iterable[str], size: int) -> Columns:
    if len(objects) != size:
        raise NoObject
    nothing: dict[str, msgspec.Raw] = {}
    return {name: [(one or nothing).get(name, NULL) for one in objects] for name in names}
