"""Find the requested record in a reply.

Model
    A reply holds its record under an envelope key. The description names the key, but it is
    sometimes wrong: the service sends ``vendorpayment`` instead of ``vendor_payment``. An id is a
    text of digits that belongs to one record forever.

Invariant
    One record is never accepted as another. Under the described key, a record is refused if its id
    differs from the id at the end of the path. Under another key it is accepted only if it is the
    only match in the reply. For an operation on a record, its id must equal the requested id. For
    a create, it must have the resource's id, and its key must be the resource's name or a listed
    synonym, ignoring underscores.

Why it holds
    Two records never share an id, so equal ids are proof. The name of a key alone proves nothing,
    because a reply may hold other records, such as the customer of an invoice. A create has no id
    to compare, so it needs both the name and the id. If two members match, neither is accepted.

Unknown
    Which other keys the service uses. An operation is not checked if its path ends in anything but
    its record's id: a name, a code that the call may change, or the id of a parent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zoho_async.operation import ListOperation, Operation
from zoho_async.wire.text import Unreadable, is_array, is_object


def identity_of(operation: Operation[Any], record: object) -> str:
    """The id of a decoded ``record``, or "" if it has none."""
    if not operation.record_id:
        return ""
    found = getattr(record, operation.record_id, None)
    return "" if found is None else str(found)


def is_other_record(operation: Operation[Any], record: object, ids: Sequence[str | int]) -> bool:
    """Whether the id of ``record`` differs from the id at the end of the path."""
    found, asked = identity_of(operation, record), str(ids[-1]).strip() if ids else ""
    if found == asked or not (found.isdecimal() and asked.isdecimal()):
        return False
    return operation.method != "POST" and _ends_in_its_id(operation)


def other_key(
    operation: Operation[Any], reply: Mapping[str, Any], ids: Sequence[str | int]
) -> str | None:
    """The undescribed key of the record in ``reply``, or None if no key is certain."""
    asked = str(ids[-1]).strip() if ids else ""
    found = [
        key
        for key, value in reply.items()
        if is_object(value) and _is_record(operation, key, value, asked)
    ]
    return found[0] if len(found) == 1 else None


def creates(operation: Operation[Any]) -> bool:
    """Whether an operation creates a record, whose id only its reply contains."""
    return (
        operation.method == "POST"
        and bool(operation.record_id)
        and not operation.path.endswith("}")
    )


def acts_on_record(operation: Operation[Any]) -> bool:
    """Whether an operation reads, changes or deletes the record at the end of its path."""
    return operation.method != "POST" and bool(operation.record_id) and operation.path.endswith("}")


def _is_record(operation: Operation[Any], key: str, value: Mapping[str, Any], asked: str) -> bool:
    own = value.get(operation.record_id)
    has_id = isinstance(own, str | int) and not isinstance(own, bool) and str(own).strip()
    if not has_id:
        return False
    if operation.method != "POST":
        return bool(asked) and operation.path.endswith("}") and str(own) == asked
    return _normalized(key) in map(_normalized, (operation.key, *operation.nouns))


def _ends_in_its_id(operation: Operation[Any]) -> bool:
    if not operation.record_id.endswith("_id"):  # a code or a name, which the call may change
        return False
    name = operation.path.rpartition("{")[2]
    return name.endswith("}") and _normalized(name[:-1]) == _normalized(operation.record_id)


def _normalized(word: str) -> str:
    return word.replace("_", "").lower()


def other_rows(operation: ListOperation[Any], reply: Mapping[str, Any]) -> str | None:
    """The undescribed key of a list's rows in ``reply``, or None for no rows.

    It must equal the described key, or the last word of the path, except for underscores. Raises
    `Unreadable` if the reply lists other objects, because an empty page would lose them.
    """
    arrays = [key for key, value in reply.items() if key != operation.key and _lists_objects(value)]
    words = {_normalized(operation.key), _normalized(operation.path.rpartition("/")[2])}
    found = [
        key for key in arrays if _normalized(key) in words and _have_ids(operation, reply[key])
    ]
    if len(found) == 1:
        return found[0]
    if arrays:
        raise Unreadable(f"the reply lists other rows than {operation.key!r}")
    return None


def _lists_objects(value: object) -> bool:
    return is_array(value) and bool(value) and is_object(value[0])


def _have_ids(operation: ListOperation[Any], rows: Sequence[Any]) -> bool:
    if not operation.row_id:
        return False
    return all(is_object(row) and row.get(operation.row_id) for row in rows)
