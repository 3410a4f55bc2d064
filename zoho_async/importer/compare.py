"""Compare the fields of a request with a record, to see whether the record has them already."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from zoho_async.importer.writes import without_token
from zoho_async.wire.text import is_array, is_object

_BLANK: Final[tuple[Any, ...]] = (None, "", [], {})


def has_all(record: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
    """Return whether ``record`` shows every field of ``body`` with the same value.

    Numbers are equal by value, ids as text and number, and a blank equals a missing field. A field
    that the record does not show is different.
    """
    return all(_same(record.get(name), value, name) for name, value in body.items())


def _same(shown: Any, sent: Any, name: str) -> bool:
    if sent in _BLANK:
        return shown in _BLANK
    if name == "custom_fields" and is_array(shown) and is_array(sent):
        return all(any(_is_field(each, field) for each in shown) for field in sent)
    if name == "contact_persons" and is_array(shown) and is_array(sent):
        return all(any(_same(each, person, "") for each in shown) for person in sent)
    if name == "notes" and isinstance(shown, str):
        return without_token(shown) == str(sent)
    if is_object(sent):
        return is_object(shown) and has_all(shown, sent)
    if is_array(sent):
        return (
            is_array(shown)
            and len(shown) == len(sent)
            and all(_same(a, b, "") for a, b in zip(shown, sent, strict=True))
        )
    if isinstance(sent, bool) or isinstance(shown, bool):
        return str(shown).lower() == str(sent).lower()
    return str(shown) == str(sent) or _numbers(shown, sent)


def _is_field(shown: Any, sent: Any) -> bool:
    """Whether ``shown`` is the custom field ``sent``, with its value."""
    names = ("api_name", "customfield_id", "label", "index")
    return (
        is_object(shown)
        and is_object(sent)
        and any(sent.get(name) and sent.get(name) == shown.get(name) for name in names)
        and _same(shown.get("value"), sent.get("value"), "value")
    )


def _numbers(shown: Any, sent: Any) -> bool:
    try:
        return Decimal(str(shown)) == Decimal(str(sent))
    except InvalidOperation:
        return False
