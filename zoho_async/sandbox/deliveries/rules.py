"""The workflow rules of an organization, and the webhooks that a change fires.

Model
-----
A rule has a module (``entity``), a ``rule_type`` and actions. An action of the type ``webhook``
names a webhook. A rule fires if a record of its module is created, edited or deleted, as its type
says: ``created``, ``edited``, ``created or edited`` (``add_edit``) or ``deleted``. Only rules and
webhooks that a caller wrote are used, not sample records.

Not simulated
-------------
Rules with another type (submitted, approved, rejected, date based) never fire. Criteria are not
evaluated, because their comparators are unknown: such a rule fires for each change. The limits of
200 rules, 10 per module and one webhook per rule are not checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from zoho_async.sandbox.api.context import OperationHandler, RequestContext
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.data.values import is_list, is_object
from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.replies import ApiReply, invalid_field, success

PRODUCTS: Final = ("books", "inventory")
#: The operation of an event by the words that a rule's type is made of.
_OPERATIONS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("add", "added", "create", "created"), "created"),
    **dict.fromkeys(("edit", "edited", "update", "updated"), "updated"),
    **dict.fromkeys(("delete", "deleted"), "deleted"),
}
_WORD: Final = re.compile(r"[a-z]+")
#: Modules with another name in the API.
_SYNONYMS: Final = {"customerpayment": "payment"}
#: Modules that are contacts of one type.
_CONTACTS: Final = frozenset({"customer", "vendor"})


class ActiveRule(msgspec.Struct, frozen=True):
    """An active rule with one of its webhooks. ``module`` is a plain name: ``creditnote``."""

    workflow_id: str
    product: str
    module: str
    contact_type: str
    operations: frozenset[str]
    webhook_id: str
    webhook: Record

    def matches(self, product: str, kind: str, operation: str, state: Mapping[str, Any]) -> bool:
        """Return whether the rule fires for an event of a record."""
        return (
            self.product == product
            and self.module == plain(kind)
            and operation in self.operations
            and self.contact_type in ("", state.get("contact_type"))
        )


def plain(name: str) -> str:
    """Return a module's name in lower case, without what varies in its spelling."""
    return re.sub(r"[^a-z]", "", name.lower()).removesuffix("s")


def operations_of(rule_type: str) -> frozenset[str]:
    """Return the operations of events for which a rule of this type fires."""
    words = _WORD.findall(rule_type.lower())
    return frozenset(_OPERATIONS[word] for word in words if word in _OPERATIONS)


def rules_of(store: Store) -> list[ActiveRule]:
    """Return the active rules of an organization. Loads only lists that a caller wrote to."""
    return [rule for product in PRODUCTS for rule in _rules_of(store, product)]


def _rules_of(store: Store, product: str) -> Iterator[ActiveRule]:
    if not store.has_written(f"{product}.workflows"):
        return
    webhooks = {each.get("webhook_id"): each for each in _written(store, f"{product}.webhooks")}
    for state in _written(store, f"{product}.workflows"):
        entity = plain(str(state.get("entity") or ""))
        entity = _SYNONYMS.get(entity, entity)
        operations = operations_of(str(state.get("rule_type") or ""))
        if state.get(IS_ACTIVE) is False or not entity or not operations:
            continue
        actions: Any = state.get("instant_actions")
        for action in actions if is_list(actions) else ():
            if not is_object(action) or plain(str(action.get("action_type"))) != "webhook":
                continue
            webhook = webhooks.get(str(action.get("action_id")))
            if webhook is not None:
                yield ActiveRule(
                    workflow_id=str(state.get("workflow_id")),
                    product=product,
                    module="contact" if entity in _CONTACTS else entity,
                    contact_type=entity if entity in _CONTACTS else "",
                    operations=operations,
                    webhook_id=str(webhook["webhook_id"]),
                    webhook=webhook,
                )


def _written(store: Store, name: str) -> list[Record]:
    return list(store.collection(name).written()) if store.has_written(name) else []


# -- operations of webhooks and workflows ---------------------------------------------------------

_SECRET: Final = re.compile(r"[0-9A-Za-z]{12,50}")
#: The field that says whether a rule is active. No description has it.
IS_ACTIVE: Final = "is_active"


def _check_secret(context: RequestContext) -> ApiReply | None:
    """Refuse a secret that is not 12 to 50 letters and digits."""
    secret = context.call.body.get("secret")
    if secret and not (isinstance(secret, str) and _SECRET.fullmatch(secret)):
        raise invalid_field("secret")
    return None


def _activate(context: RequestContext) -> ApiReply:
    return _set_active(context, is_active=True)


def _deactivate(context: RequestContext) -> ApiReply:
    return _set_active(context, is_active=False)


def _set_active(context: RequestContext, *, is_active: bool) -> ApiReply:
    found = context.records[0]
    assert found is not None  # the path of each operation names a workflow
    found.collection.change(found.index, {IS_ACTIVE: is_active})
    return success(f"The workflow has been marked as {'active' if is_active else 'inactive'}.")


#: The operations of this module.
HANDLERS: Final[Mapping[str, OperationHandler]] = {
    f"{product}.{name}": handler
    for product in PRODUCTS
    for name, handler in (
        ("webhooks.create", _check_secret),
        ("webhooks.update", _check_secret),
        ("workflows.activate", _activate),
        ("workflows.deactivate", _deactivate),
    )
}
