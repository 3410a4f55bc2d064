"""Organizations: those that the user belongs to, told by every product; the list is not paged."""

from __future__ import annotations

from collections.abc import Sequence

from zoho_async.description import OperationFacts
from zoho_async.sandbox.records import organizations
from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.replies import ENCODER, ApiRefusal, Reply, success
from zoho_async.sandbox.request import Call
from zoho_async.sandbox.store import Store
from zoho_async.sandbox.values import blank, told_fields
from zoho_async.sandbox.writes import accepted


def answer(call: Call, facts: OperationFacts, own: Store, every: Sequence[Store]) -> Reply | None:
    """The answer to what is asked of organizations themselves, else None. Raises `ApiRefusal`."""
    if facts.answer == "list" and facts.row_id == "organization_id":
        return success("success", {facts.key: [_row(each, every, facts) for each in every]})
    if not facts.path.startswith("/organizations/{organization_id}"):
        return None
    named = next((each for each in every if each.world.organization == call.parts[1]), None)
    if named is None:
        raise ApiRefusal(404, 1002, "Organization does not exist.")
    if call.method == "PUT" and len(call.parts) == 2:
        sent = accepted(facts, call.body, whole=False)
        named.keep_thing(call.product, "/organizations", sent)
    if facts.answer == "done":
        return success("The organization has been updated.")
    names = [store.world.organization for store in every]
    record = organizations.detail(named.world, names) | named.thing(call.product, "/organizations")
    return success("success", {facts.key: _fitted(record, facts)})


def rows(every: Sequence[Store], facts: OperationFacts) -> list[bytes]:
    """The rows of a list of organizations, encoded."""
    return [ENCODER.encode(_row(each, every, facts)) for each in every]


def _row(store: Store, every: Sequence[Store], facts: OperationFacts) -> Record:
    names = [each.world.organization for each in every]
    return _fitted(organizations.row(store.world, names), facts)


def _fitted(record: Record, facts: OperationFacts) -> Record:
    """In the described kinds; Books' own differ from its description as its recordings do."""
    if facts.product == "books":
        return record
    blanks = {field.name: blank(field) for field in facts.reply}
    shown = {name: value for name, value in record.items() if name in blanks}
    return blanks | told_fields(facts.reply, shown)
