"""Inputs for writes: structs that send only the fields that were set.

Fields are optional and `msgspec.UNSET` by default, because Zoho keeps fields that a request does
not contain and clears fields that are null. The input of a create (``InvoiceCreate``) requires the
fields without which Zoho refuses it. Amounts are `Decimal` or ``int``. A float or a missing field
raises `TypeError` when the input is created, where the mistake is, not when it is sent.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, Self, cast

import msgspec

from zoho_async._msgspec import describe
from zoho_async.wire.copying import Copier, Uncopied
from zoho_async.wire.encode import FLOAT_REFUSED
from zoho_async.wire.record import Record
from zoho_async.wire.shape import fields_of


class Input(msgspec.Struct, kw_only=True):
    """Fields to write. `msgspec.UNSET` is not sent; ``None`` is sent as null."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            _refuse_floats(getattr(self, name), f"{type(self).__name__}.{name}")
        for name in _required(type(self)):
            if getattr(self, name) is msgspec.UNSET or getattr(self, name) is None:
                raise TypeError(f"{type(self).__name__}.{name} is required")

    @classmethod
    def of(cls, record: msgspec.Struct, *, skip: Collection[str] = (), **changes: Any) -> Self:
        """Copy the writable fields of ``record`` into an input and apply ``changes``.

        Every field of this input that the record has is copied, whether described or in its
        ``extra``, and coerced to this input's type. Nested objects and lists become inputs too,
        with their ids, because a PUT replaces the lines of a document. Fields without a value stay
        unset. ``skip`` names fields to leave out, such as ``"taxes"`` or ``"line_items[].tags"``.
        Changed fields are not copied.

        Raises `CopyError` with the names of fields that cannot be copied, and `TypeError` for a
        change that is not a field of this input or for a required field that neither has.
        """
        unknown = changes.keys() - set(cls.__struct_fields__)
        if unknown:
            names = ", ".join(sorted(unknown))
            raise TypeError(f"{cls.__name__} has no field {names}")
        extra = record.extra if isinstance(record, Record) else {}
        describe(cls)
        changed = {name for name, field in fields_of(cls).items() if field.attribute in changes}
        copier = Copier({*skip, *changed})
        copied = copier.fields(cls, record, extra)
        if copier.failed:
            raise CopyError(cls.__name__, copier.failed)
        return cls(**(copied | changes))


class CopyError(TypeError):
    """A record has values that the input ``name`` cannot take. ``fields`` lists them.

    Leave them out with ``skip=``, or pass them as changes. A PUT without them may delete them.
    """

    def __init__(self, name: str, fields: tuple[Uncopied, ...]) -> None:
        self.name: Final = name
        self.fields: Final = fields
        text = "; ".join(map(str, fields))
        super().__init__(
            f"{name} cannot copy {text}: pass another value, or name it in skip= to leave it out"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, self.fields), self.__dict__


@functools.cache
def _required(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    """The fields of a struct that have no default."""
    names, defaults = struct.__struct_fields__, struct.__struct_defaults__
    first = len(names) - len(defaults)
    late = zip(names[first:], defaults, strict=True)
    return (*names[:first], *(name for name, default in late if default is msgspec.NODEFAULT))


def _refuse_floats(value: Any, where: str) -> None:
    if isinstance(value, float):
        raise TypeError(f"{where} {FLOAT_REFUSED}")
    if isinstance(value, Mapping):
        for each in cast(Mapping[str, Any], value).values():
            _refuse_floats(each, where)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for each in cast(Iterable[Any], value):
            _refuse_floats(each, where)
