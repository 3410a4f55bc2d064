"""What every record is: its described fields as attributes, all the rest in `Record.extra`.

Every described field is optional, because a missing field and a blank are both ``None``; a record's
own id is text and never ``None``. Whatever has no field of its own, or did not fit the type of its
field, is still there in the bytes that Zoho sent: a record that came from a reply keeps a view of
them beside its fields and takes them apart when `Record.extra` is first asked for. That view is in
no repr, comparison or encoding, and copies do not have it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, TypeAlias, cast

import msgspec
from msgspec.structs import force_setattr

from zoho_async.wire.reply_source import ReplyPath, ReplySource, undescribed
from zoho_async.wire.shape import fields_of
from zoho_async.wire.text import is_array, is_blank, is_object

#: A moment that knows its offset from UTC. A time without one is no moment: it reads as ``None``.
Moment: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]

#: The envelope key under which a list says where its page stands.
CONTEXT: Final = "page_context"

_VIEW: Final = "_view"
_EXTRA: Final = "_extra"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What only ever stands inside a record: an address, a line, a tax."""


class Record(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What may stand at the top of a reply."""

    @property
    def extra(self) -> dict[str, Any]:
        """What Zoho sent and the fields do not show, by Zoho's names.

        These are the undocumented fields, the originals of values that did not fit their type, and
        both for nested objects under the names of their parents: a list has one ``dict`` for each
        element then, ``{}`` where an element holds nothing more. Numbers are `Decimal` or ``int``.
        Empty for a record that did not come from a reply, and for one inside another record, whose
        own ``extra`` holds it.
        """
        beside = self.__dict__
        if _EXTRA not in beside:
            force_setattr(self, _EXTRA, self._find_extra())
        return cast(dict[str, Any], beside[_EXTRA])

    def _find_extra(self) -> dict[str, Any]:
        view = self.__dict__.get(_VIEW)
        if view is None:
            return {}
        path: ReplyPath = view.path
        value = view.sent.at(path)
        if is_object(value):
            return undescribed(self, value)
        return {} if is_blank(value) or not path else {path[0]: value}


class _View(msgspec.Struct, frozen=True, gc=False):
    """Where a record stands: the whole reply, under a key, or as row ``number`` under a key.

    The collector does not follow it, and so none of the dicts that hold it: nothing leads back.
    """

    sent: ReplySource
    key: str = ""
    number: int = -1

    @property
    def path(self) -> ReplyPath:
        if not self.key:
            return ()
        return (self.key,) if self.number < 0 else (self.key, self.number)


class Done(Record, frozen=True, kw_only=True):
    """The answer of an operation that says only that it is done."""

    message: str = ""


class PageContext(Record, frozen=True, kw_only=True):
    """Where a page of a list stands, in Zoho's words.

    ``total`` and ``total_pages`` come only where the list was asked to count.
    """

    page: int | None = None
    per_page: int | None = None
    has_more_page: bool | None = None
    report_name: str | None = None
    applied_filter: str | None = None
    sort_column: str | None = None
    sort_order: str | None = None
    response_option: int | None = None
    total: int | None = None
    total_pages: int | None = None


def attach_source(value: object, sent: ReplySource, path: ReplyPath) -> None:
    """Let the records in ``value``, which stands at ``path`` of ``sent``, find their bytes."""
    if isinstance(value, Record):
        key = path[0] if path else ""
        number = path[1] if len(path) == 2 else -1
        force_setattr(value, _VIEW, _View(sent, key, number))
        if not path:
            for name, field in fields_of(type(value)).items():
                attach_source(getattr(value, field.attribute), sent, (name,))
    elif is_array(value) and len(path) == 1:
        key = path[0]
        if value and isinstance(value[0], Record):  # then all are: they are of one type
            for number, row in enumerate(value):
                force_setattr(row, _VIEW, _View(sent, key, number))
