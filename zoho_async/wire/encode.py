"""Encode values as JSON bodies and query parameters for Zoho.

Zoho takes decimals as JSON numbers and times as ``yyyy-MM-ddTHH:mm:ss+HHMM``. It refuses ``Z``, a
colon in the offset and fractions of a second. Numbers are written without exponents, which not
every reader of amounts supports. Floats are refused at any depth, because a float is rarely the
exact amount that was meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final, cast

import msgspec

from zoho_async.wire.shape import Percentage
from zoho_async.wire.text import is_object

_ENCODER: Final = msgspec.json.Encoder()

FLOAT_REFUSED: Final = (
    "is a float, which cannot hold amounts exactly; write Decimal('12.50') or an int instead"
)


def encode(value: object, extra: Mapping[str, object] | None = None) -> bytes:
    """Encode ``value`` as a JSON body, and add the keys of ``extra``.

    Struct fields have Zoho's names. `msgspec.UNSET` is not sent, and ``None`` is sent as null.
    Raises `TypeError` for floats and types without a JSON form, and `ValueError` for a number that
    is not finite, a time without an offset, and a key that is both in ``value`` and ``extra``.
    """
    plain = _plain(value, "")
    return _ENCODER.encode(_with_extra(plain, _plain(extra, "extra_body")) if extra else plain)


def query(params: Mapping[str, object]) -> dict[str, str]:
    """Convert ``params`` to query texts, not yet percent-encoded.

    ``None`` and `msgspec.UNSET` are left out. Sequences are joined by commas. Raises as `encode`.
    """
    return {
        name: _text(value, name)
        for name, value in params.items()
        if value is not None and value is not msgspec.UNSET
    }


def moment(value: datetime) -> str:
    """``value`` in Zoho's format, to the second."""
    offset = value.utcoffset()
    if offset is None:
        raise ValueError("a time needs its offset from UTC: use datetime(..., tzinfo=...)")
    if offset.seconds % 60 or offset.microseconds:  # local mean time, before time zones
        value = value.astimezone(UTC)
    return f"{value.replace(tzinfo=None).isoformat(timespec='seconds')}{value:%z}"


def amount(value: Decimal) -> str:
    """``value`` in digits, without an exponent."""
    if not value.is_finite():
        raise ValueError(f"{value} is not a number that Zoho accepts: use a finite Decimal")
    return format(value, "f")


def _plain(value: Any, where: str) -> Any:
    """Convert ``value`` for msgspec, in Zoho's formats. ``where`` is its path, for errors."""
    match value:
        case None | bool() | str() | int():
            return value
        case Decimal():
            return msgspec.Raw(amount(value).encode())
        case datetime():
            return moment(value)
        case date():
            return value.isoformat()
        case Percentage():
            return str(value)
        case msgspec.Struct():
            return {
                field.encode_name: _plain(each, f"{where}.{field.name}")
                for field in msgspec.structs.fields(value)
                if (each := getattr(value, field.name)) is not msgspec.UNSET
            }
        case Mapping():
            return {
                str(key): _plain(each, f"{where}.{key}")
                for key, each in cast(Mapping[str, Any], value).items()
                if each is not msgspec.UNSET
            }
        case list() | tuple() | AbstractSet():
            elements = cast(Sequence[Any], value)
            return [_plain(each, f"{where}[{n}]") for n, each in enumerate(elements)]
        case _:
            raise _refusal(value, where.lstrip(".") or "the value")


def _with_extra(plain: Any, extra: dict[str, Any]) -> dict[str, Any]:
    if not is_object(plain):
        raise TypeError("extra_body needs a body with fields, but this body is not an object")
    both = ", ".join(sorted(plain.keys() & extra.keys()))
    if both:
        raise ValueError(f"extra_body contains {both}, which the body already has")
    return plain | extra


def _text(value: object, name: str) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return str(value)
        case int():
            return str(int(value))
        case Decimal():
            return amount(value)
        case datetime():
            return moment(value)
        case date():
            return value.isoformat()
        case Percentage():
            return str(value)
        case list() | tuple() | AbstractSet():
            return ",".join(_text(each, name) for each in cast(Sequence[object], value))
        case _:
            raise _refusal(value, name)


def _refusal(value: object, where: str) -> TypeError:
    if isinstance(value, float):
        return TypeError(f"{where} {FLOAT_REFUSED}")
    return TypeError(f"{where} is {type(value).__name__}, which cannot be sent to Zoho")
