"""What is written to Zoho: structs in which only what was set is sent.

Every field is optional and `msgspec.UNSET` at first, because Zoho keeps what a request does not
name and clears what it names with null. Amounts are `Decimal` or ``int``: a float is refused when
the input is made, where the mistake is, and not when it is sent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, Self, cast

import msgspec

from zoho_async._msgspec import describe
from zoho_async.wire.copying import Copier, Uncopied
from zoho_async.wire.encode import FLOAT_REFUSED
from zoho_async.wire.record import Record
from zoho_async.wire.shape import fields_of


class Input(msgspec.Struct, kw_only=True):
    """Fields for Zoho to write. What is `msgspec.UNSET` is not sent; ``None`` is sent as null."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            _refuse_floats(getattr(self, name), f"{type(self).__name__}.{name}")

    @classmethod
    def of(cls, record: msgspec.Struct, *, skip: Collection[str] = (), **changes: Any) -> Self:
        """What of ``record`` may be sent back, with ``changes`` made to it.

        Copied is every field of this input that the record holds, whether described or in its
        ``extra``, in the type that this input gives it; nested objects and lists become inputs as
        well, with their ids, because a PUT replaces the lines of a document by those it is sent.
        What the record holds no value for stays unset. ``skip`` names what may be left out, as
        ``"taxes"`` or ``"line_items[].tags"``; so does a change.

        Raises `CopyError` for values that cannot be copied, with the names of their fields, and
        `TypeError` for a change that this input has no field for.
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
    """A record holds values that an input cannot take; ``fields`` says which.

    Leave them out with ``skip=``, or give them as changes. A PUT without them may delete them.
    """

    def __init__(self, name: str, fields: tuple[Uncopied, ...]) -> None:
        self.fields: Final = fields
        text = "; ".join(map(str, fields))
        super().__init__(
            f"{name} cannot copy {text}: give another value, or name it in skip= to leave it out"
        )


def _refuse_floats(value: Any, where: str) -> None:
    if isinstance(value, float):
        raise TypeError(f"{where} {FLOAT_REFUSED}")
    if isinstance(value, Mapping):
        for each in cast(Mapping[str, Any], value).values():
            _refuse_floats(each, where)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for each in cast(Iterable[Any], value):
            _refuse_floats(each, where)
