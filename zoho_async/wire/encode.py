"""From values to what Zoho reads: JSON bodies and query parameters.

Zoho takes decimals as JSON numbers and moments as ``yyyy-MM-ddTHH:mm:ss+HHMM``: with ``Z``, a
colon in the offset or fractions of a second it refuses them. Numbers are written out in full, since
not every reader of money knows exponents. A float is refused wherever it hides: its exact value is
not the one that its writer meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final, cast

import msgspec

from zoho_async.wire.percentage import Percentage
from zoho_async.wire.text import is_object

_ENCODER: Final = msgspec.json.Encoder()

FLOAT_REFUSED: Final = (
    "is a float, which cannot hold amounts exactly; write Decimal('12.50') or an int instead"
)


def encode(value: object, extra: Mapping[str, object] | None = None) -> bytes:
    """``value`` as a JSON body, with the keys of ``extra`` beside its own.

    Structs go by Zoho's names, without what is `msgspec.UNSET`; ``None`` goes as null. Raises
    `TypeError` for a float and for what has no form in JSON, `ValueError` for a number that is
    none, a time without its offset, and an ``extra`` that gives again what ``value`` gives.
    """
    plain = _plain(value, "")
    return _ENCODER.encode(_with_extra(plain, _plain(extra, "extra_body")) if extra else plain)


def query(params: Mapping[str, object]) -> dict[str, str]:
    """``params`` as the text of a query, not yet quoted.

    ``None`` and `msgspec.UNSET` are left out, sequences joined by commas. Raises as `encode` does.
    """
    return {
        name: _text(value, name)
        for name, value in params.items()
        if value is not None and value is not msgspec.UNSET
    }


def moment(value: datetime) -> str:
    """``value`` as Zoho reads it, to the second."""
    offset = value.utcoffset()
    if offset is None:
        raise ValueError("a time needs its offset from UTC: datetime(..., tzinfo=...)")
    if offset.seconds % 60 or offset.microseconds:  # older than time zones
        value = value.astimezone(UTC)
    return f"{value.replace(tzinfo=None).isoformat(timespec='seconds')}{value:%z}"


def amount(value: Decimal) -> str:
    """``value`` in digits, without an exponent."""
    if not value.is_finite():
        raise ValueError(f"{value} is no number that Zoho could read")
    return format(value, "f")


def _plain(value: Any, where: str) -> Any:
    """``value`` as msgspec writes it the way Zoho reads it; ``where`` it stands, for errors."""
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
        raise TypeError("extra_body goes beside the fields of a body, and this body has none")
    both = ", ".join(sorted(plain.keys() & extra.keys()))
    if both:
        raise ValueError(f"extra_body gives {both}, which the body has already")
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
    return TypeError(f"{where} is {type(value).__name__}, which Zoho has no form for")
