"""Which member of a reply is the record that was asked for.

Model
    A reply holds its record under an envelope key. The description names the key, and is wrong at
    times: the service answers ``vendorpayment`` where ``vendor_payment`` is described. An id is
    text of digits that belongs to one record for good.

Invariant
    A record is never taken for another one. Under the described key it is refused if it carries
    another id than the one that ends the path. Under any other key it is taken only if it is the
    only object in the reply that fits: for an operation on a record because its id equals the id
    asked for, for a create because it has the resource's id and its key is the resource's name or
    a listed synonym, underscores aside.

Why it holds
    Two records never share an id, so equality is proof. The name of a key alone proves nothing,
    because a reply may hold other records (the customer of an invoice); a create has no id to
    compare, so it needs both the name and the id. If two members fit, none is taken.

Unknown
    Which further keys the service uses. An operation whose path ends in something else than its
    record's own id (a name, a code that the call itself may change, the id of a parent) is not
    compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zoho_async.operation import ListOperation, Operation
from zoho_async.wire.text import Unreadable, is_array, is_object


def identity_of(operation: Operation[Any], record: object) -> str:
    """The id that a decoded ``record`` carries, or "" if it has none."""
    if not operation.record_id:
        return ""
    found = getattr(record, operation.record_id, None)
    return "" if found is None else str(found)


def is_other_record(operation: Operation[Any], record: object, ids: Sequence[str | int]) -> bool:
    """Whether ``record`` is known to be another one than the one that the path ends in."""
    found, asked = identity_of(operation, record), str(ids[-1]).strip() if ids else ""
    if found == asked or not (found.isdecimal() and asked.isdecimal()):
        return False
    return operation.method != "POST" and _ends_in_its_id(operation)


def other_key(
    operation: Operation[Any], reply: Mapping[str, Any], ids: Sequence[str | int]
) -> str | None:
    """The undescribed key under which ``reply`` holds the record, or None if none is certain."""
    asked = str(ids[-1]).strip() if ids else ""
    found = [
        key
        for key, value in reply.items()
        if is_object(value) and _is_record(operation, key, value, asked)
    ]
    return found[0] if len(found) == 1 else None


def creates(operation: Operation[Any]) -> bool:
    """Whether an operation makes a record whose id only its answer tells."""
    return (
        operation.method == "POST"
        and bool(operation.record_id)
        and not operation.path.endswith("}")
    )


def acts_on_record(operation: Operation[Any]) -> bool:
    """Whether an operation reads, changes or deletes the record that its path ends in."""
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
    """The undescribed key under which ``reply`` holds the rows of a list, or None for no rows.

    It is the described key, or the last word of the path, spelled with other underscores. Raises
    `Unreadable` if other objects are listed: an empty page would lose them.
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
