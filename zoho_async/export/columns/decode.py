"""Decode raw JSON values to exact values, one column at a time.

Model
-----
A column of a batch has a few hundred raw values. They are joined to one JSON array, which msgspec
checks and decodes in one call. If that fails, the column is decoded value by value. A value that
does not fit its kind is a *misfit*: it is NULL here, and the caller keeps it elsewhere. A column
with the same value in every row is decoded once; in real data half of the columns are like that,
and most of these are empty.

Dates and times are returned as text that SQLite, DuckDB, PostgreSQL and Arrow all read as the same
value. Numbers are returned as the destination stores them (`zoho_async.export.columns.numbers`):
text, or an `int` or `float` for doubles. The exact texts of numbers that their cells do not hold
are returned separately.

Values that fit
---------------
- Number: any, also as JSON text. ``"NaN"``, ``"5%"`` and ``"007"`` are not numbers.
- Integer: 64 bits.
- Date: a calendar day, ``YYYY-MM-DD``.
- Time: a time with an offset, to the microsecond. The column holds the instant.
- Text: any text without NUL, which PostgreSQL cannot store.

A value of another type fits if it means the same: an integer or a boolean as text, ``"15"`` or
``15.0`` as the integer 15, ``"46.10"`` as a number. Any other value is a misfit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.export.columns.numbers import (
    PRECISION,
    SCALES,
    NumberKind,
    NumberStorage,
    parse,
    stored,
)
from zoho_async.export.columns.schema import ColumnKind
from zoho_async.wire import Moment, Unreadable
from zoho_async.wire.text import UNDECODABLE, is_array, is_blank, untyped

#: A value of a column. Dates and times are text.
Cell: TypeAlias = str | int | float | bool | list[str] | None

RawValues: TypeAlias = Sequence[msgspec.Raw]

NULL: Final = msgspec.Raw(b"null")
#: The raw values that are blank.
BLANKS: Final = frozenset({b"null", b'""', b'" "'})
_BLANK_TEXTS: Final = frozenset(blank.decode() for blank in BLANKS)

_LARGEST: Final = 2**63 - 1
_TIME: Final = r"[12]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-](?:0\d|1[0-4]):?[0-5]\d)"
_ONE_TIME: Final = re.compile(_TIME)


def _numbers_like(pattern: str) -> re.Pattern[bytes]:
    return re.compile(rf"(?:(?:null|-?{pattern}),)*+".encode())


#: Columns of numbers that every cell of the storage holds, so that no number is looked at alone.
_FITTING: Final = {
    "digits": dict.fromkeys(SCALES, _numbers_like(r"\d+(?:\.\d+)?")),
    # A double holds 15 digits, an integer of 64 bits 18.
    "double": dict.fromkeys(SCALES, _numbers_like(r"(?:\d{1,18}|(?=[\d.]{3,16},)\d+\.\d+)")),
    "decimal": {
        kind: _numbers_like(rf"\d{{1,{PRECISION - scale}}}(?:\.\d{{1,{scale}}})?")
        for kind, scale in SCALES.items()
    },
}
_TIMES: Final = re.compile(rf'(?:(?:null|"{_TIME}"),)*+'.encode())

_TEXT_LIST: Final = decoder_of(list[str | None])
_SCALAR_LIST: Final = decoder_of(list[str | bool | int | float | None])
_TEXTS_LIST: Final = decoder_of(list[list[str] | None])
_NUMBER_LIST: Final = decoder_of(list[int | float | None])
_INTEGER_LIST: Final = decoder_of(list[int | None])
_BOOLEAN_LIST: Final = decoder_of(list[bool | None])
_DATE_LIST: Final = decoder_of(list[date | None])
_TIME_LIST: Final = decoder_of(list[Moment | None])


class _Misfit(Exception):
    """A value does not fit its kind."""


class Coerced(NamedTuple):
    """The cells of a column, None for blanks and misfits.

    ``misfits`` are the indexes of values that do not fit. ``exact`` has the digits of numbers that
    their cells do not hold, by index.
    """

    cells: list[Any]
    misfits: list[int]
    exact: dict[int, str]


def coerce(kind: ColumnKind, raws: RawValues, storage: NumberStorage = "digits") -> Coerced:
    """Convert ``raws`` to cells of ``kind``, with numbers for ``storage``.

    Values contain no line breaks, because each row is one line.
    """
    joined = b",".join(raws)
    if all_equal(raws, joined):
        size = len(raws)
        one = _coerce_joined(kind, raws[:1], bytes(raws[0]), storage)
        return Coerced(
            one.cells * size,
            [*range(size)] if one.misfits else [],
            dict.fromkeys(range(size), one.exact[0]) if one.exact else {},
        )
    return _coerce_joined(kind, raws, joined, storage)


def all_equal(raws: RawValues, joined: bytes) -> bool:
    """Whether all ``raws`` are the same value. ``joined`` is them, joined by commas."""
    if len(raws) < 2 or raws[0] != raws[-1]:
        return False
    # The end of a JSON value is unambiguous, so only equal values join to the same bytes.
    return joined == b",".join([bytes(raws[0])] * len(raws))


def _coerce_joined(
    kind: ColumnKind, raws: RawValues, joined: bytes, storage: NumberStorage
) -> Coerced:
    if kind == "json":
        return Coerced(_jsons(raws), [], {})
    try:
        if kind == "decimal" or kind == "exchange_rate":
            return Coerced(_numbers(joined, kind, storage), [], {})
        return Coerced(_COLUMN_DECODERS[kind](joined), [], {})
    except (_Misfit, *UNDECODABLE):
        pass
    try:
        if kind == "text":  # values of custom fields are texts, numbers and booleans
            return Coerced(_scalars(raws, joined), [], {})
    except (_Misfit, *UNDECODABLE):
        pass
    return _coerce_each(kind, raws, storage)


def _texts(joined: bytes) -> list[str | None]:
    if b"\\u0000" in joined:
        raise _Misfit
    values = _TEXT_LIST.decode(b"[" + joined + b"]")
    if b'" ' in joined:
        return [value if value and value.strip(" ") else None for value in values]
    if b'""' in joined:
        return [value or None for value in values]
    return values


def _scalars(raws: RawValues, joined: bytes) -> list[str | None]:
    """Texts, and numbers and booleans as they were sent."""
    if b"\\u0000" in joined:
        raise _Misfit
    values = _SCALAR_LIST.decode(b"[" + joined + b"]")
    return [
        (value if value.strip(" ") else None)
        if isinstance(value, str)
        else None
        if value is None
        else bytes(raw).decode()
        for value, raw in zip(values, raws, strict=True)
    ]


def _numbers(joined: bytes, kind: NumberKind, storage: NumberStorage) -> list[Any]:
    joined = joined.replace(b'""', b"null")
    if not _FITTING[storage][kind].fullmatch(joined + b","):
        raise _Misfit
    return _NUMBER_LIST.decode(b"[" + joined + b"]") if storage == "double" else _split(joined)


def _integers(joined: bytes) -> list[int | None]:
    values = _INTEGER_LIST.decode(b"[" + joined.replace(b'""', b"null") + b"]")
    there = [value for value in values if value is not None]
    if there and not (min(there) >= -_LARGEST and max(there) <= _LARGEST):
        raise _Misfit
    return values


def _booleans(joined: bytes) -> list[bool | None]:
    return _BOOLEAN_LIST.decode(b"[" + joined.replace(b'""', b"null") + b"]")


def _dates(joined: bytes) -> list[str | None]:
    joined = joined.replace(b'""', b"null")
    _DATE_LIST.decode(b"[" + joined + b"]")
    return _split(joined.replace(b'"', b""))


def _times(joined: bytes) -> list[str | None]:
    joined = joined.replace(b'""', b"null")
    if not _TIMES.fullmatch(joined + b","):
        raise _Misfit
    _TIME_LIST.decode(b"[" + joined + b"]")
    return _split(joined.replace(b'"', b""))


def _jsons(raws: RawValues) -> list[str | None]:
    texts = b"\n".join(raws).decode("utf-8", "replace").split("\n")
    return [None if text in _BLANK_TEXTS else text for text in texts]


def _lists_of_texts(joined: bytes) -> list[list[str] | None]:
    if b"\\u0000" in joined:
        raise _Misfit
    return _TEXTS_LIST.decode(b"[" + joined + b"]")


_COLUMN_DECODERS: Final[dict[ColumnKind, Callable[[bytes], list[Any]]]] = {
    "text": _texts,
    "integer": _integers,
    "boolean": _booleans,
    "date": _dates,
    "time": _times,
    "texts": _lists_of_texts,
}


def _split(joined: bytes) -> list[str | None]:
    values = joined.decode().split(",")
    if b"null" in joined:
        return [None if value == "null" else value for value in values]
    return [*values]


def _coerce_each(kind: ColumnKind, raws: RawValues, storage: NumberStorage) -> Coerced:
    cells: list[Cell] = []
    misfits: list[int] = []
    exact: dict[int, str] = {}
    for place, raw in enumerate(raws):
        text = bytes(raw)
        cell: Cell = None
        if text not in BLANKS:
            try:
                if kind == "decimal" or kind == "exchange_rate":
                    cell, digits = _number(text, kind, storage)
                    if digits:
                        exact[place] = digits
                else:
                    cell = _coerce_one(kind, text)
            except (_Misfit, Unreadable):
                misfits.append(place)
        cells.append(cell)
    return Coerced(cells, misfits, exact)


def _number(text: bytes, kind: NumberKind, storage: NumberStorage) -> tuple[Cell, str]:
    """The cell of a number, and its digits if the cell does not hold them."""
    value = untyped(text)
    if is_blank(value):
        return None, ""
    sent = value if isinstance(value, str) else text.decode()
    number = None if isinstance(value, bool) else parse(sent)
    if number is None:
        raise _Misfit
    cell, holds = stored(sent, number, kind, storage)
    if cell is None and storage == "digits":
        raise _Misfit
    return cell, "" if holds else sent


def _coerce_one(kind: ColumnKind, text: bytes) -> Cell:
    value = untyped(text)
    if is_blank(value):
        return None
    if kind == "texts":
        return _list_of_texts(value)
    if kind == "boolean":
        return _boolean(value)
    if kind == "text" and isinstance(value, bool):
        return text.decode()
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise _Misfit
    match kind:
        case "text":
            return _text(value if isinstance(value, str) else text.decode())
        case "integer":
            return _integer(value)
        case "date":
            return _date(value)
        case _:
            return _time(value)


def _text(value: str) -> str:
    if "\0" in value:
        raise _Misfit
    return value


def _list_of_texts(value: Any) -> list[str]:
    if not is_array(value):
        raise _Misfit
    return [_text(each) if isinstance(each, str) else _raise_misfit() for each in value]


def _raise_misfit() -> str:
    raise _Misfit


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value not in ("true", "false"):
        raise _Misfit
    return bool(value == "true")


def _integer(value: str | int | Decimal) -> int:
    if isinstance(value, Decimal):
        if value.adjusted() > 20 or value != value.to_integral_value():
            raise _Misfit
        whole = int(value)
    else:
        if isinstance(value, str) and not re.fullmatch(r"0|-?[1-9][0-9]{0,18}", value):
            raise _Misfit
        whole = int(value)
    if not -_LARGEST <= whole <= _LARGEST:
        raise _Misfit
    return whole


def _date(value: str | int | Decimal) -> str:
    try:
        return msgspec.convert(value, date).isoformat()
    except msgspec.ValidationError:
        raise _Misfit from None


def _time(value: str | int | Decimal) -> str:
    """The time as text: as sent if every destination reads it, otherwise in UTC."""
    if isinstance(value, str) and re.search(r"\.\d{7}", value):
        raise _Misfit  # finer than a microsecond
    try:
        moment: datetime = msgspec.convert(value, Moment)
        if isinstance(value, str) and _ONE_TIME.fullmatch(value):
            return value
        return moment.astimezone(UTC).isoformat()
    except (msgspec.ValidationError, OverflowError):
        raise _Misfit from None
