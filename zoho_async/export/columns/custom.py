"""Copy custom fields to the top level of rows that show them only inside an object or a list.

Zoho sends the custom fields of a record in three forms at once: ``cf_region`` and
``cf_region_unformatted`` at the top level, the same names in ``custom_field_hash``, and a list
``custom_fields``. Some rows lack the first form. Their columns are filled from the second, or else
from elements of the third with an ``api_name``, so that one column holds the field of all rows. The
object and the list stay where they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.export.columns.decode import NULL, RawValues
from zoho_async.export.columns.observed import CUSTOM, is_plain
from zoho_async.export.columns.schema import CUSTOM_FIELDS
from zoho_async.wire.text import UNDECODABLE

_HASH: Final = "custom_field_hash"
_EMPTY: Final = frozenset({b"null", b'""', b'" "', b"{}", b"[]"})
_FIELDS: Final = decoder_of(dict[str, msgspec.Raw])


class _Element(msgspec.Struct):
    api_name: str = ""
    value: msgspec.Raw = NULL
    value_formatted: msgspec.Raw = NULL


_ELEMENTS: Final = decoder_of(list[_Element])


def with_custom_fields(columns: dict[str, RawValues]) -> dict[str, RawValues]:
    """``columns`` of rows, with the custom fields that they show only in other forms."""
    sources = [columns[name] for name in (_HASH, CUSTOM_FIELDS) if name in columns]
    flat = [raws for name, raws in columns.items() if name.startswith(CUSTOM)]
    copies: dict[str, list[msgspec.Raw]] = {}
    for place in _rows_without(sources, flat):
        for name, raw in _fields_in(columns, place):
            if not is_plain(raw):
                continue
            if name not in copies:
                nothing = [NULL] * len(sources[0])
                copies[name] = [*columns.get(name, nothing)]
            copies[name][place] = raw
    return columns | copies if copies else columns


def _rows_without(sources: Sequence[RawValues], flat: Sequence[RawValues]) -> Iterator[int]:
    """The rows that have custom fields in ``sources`` and none at the top level."""
    for place, raws in enumerate(zip(*sources, strict=True)):
        shown = any(bytes(raw) not in _EMPTY for raw in raws)
        if shown and all(column[place] is NULL for column in flat):
            yield place


def _fields_in(columns: dict[str, RawValues], place: int) -> Iterator[tuple[str, msgspec.Raw]]:
    """The custom fields of one row, as ``cf_x`` and ``cf_x_unformatted``."""
    found = False
    try:
        if _HASH in columns:
            for name, raw in _FIELDS.decode(columns[_HASH][place]).items():
                if name.startswith(CUSTOM):
                    found = True
                    yield name, raw
    except UNDECODABLE:
        pass
    if found or CUSTOM_FIELDS not in columns:
        return
    try:
        elements = _ELEMENTS.decode(columns[CUSTOM_FIELDS][place])
    except UNDECODABLE:
        return
    for one in elements:
        if one.api_name.startswith(CUSTOM):
            if one.value_formatted is NULL:
                yield one.api_name, one.value
            else:
                yield one.api_name, one.value_formatted
                yield f"{one.api_name}_unformatted", one.value
