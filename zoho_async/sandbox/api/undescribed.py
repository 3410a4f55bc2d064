"""What live clients use although no description of the product has it: operations and row fields.

The sandbox answers them, so that such a client runs against it. All are marked as assumed in
`coverage`: several clients call them, but nothing official says what they answer.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from zoho_async import description
from zoho_async.description import Field, OperationFacts

#: Product, resource, and the operation of another product that is the same there.
_BORROWED: Final = (
    ("inventory", "invoices", "books.invoices.create_from_sales_order"),
    ("inventory", "contacts", "books.contacts.add_address"),
    ("inventory", "contacts", "books.contacts.update_address"),
    ("inventory", "contacts", "books.contacts.delete_address"),
    ("inventory", "documents", "books.documents.list"),
    ("inventory", "documents", "books.documents.delete"),
    ("billing", "organizations", "inventory.organizations.list"),
)
_PAYMENT_ROW: Final = (
    *(Field(name=name, kind="text") for name in ("invoice_numbers", "payment_mode_formatted")),
    *(Field(name=name, kind="decimal") for name in ("unused_amount", "bcy_unused_amount")),
    Field(name="account_id", kind="id"),
    *(Field(name=name, kind="text") for name in ("account_name", "description")),
    Field(name="reference_number", kind="text"),
    Field(name="customer_id", kind="id"),
    *(Field(name=name, kind="text") for name in ("customer_name", "payment_type", "currency_code")),
    Field(name="payment_status", kind="text", allowed=("paid",)),
    Field(name="has_attachment", kind="boolean"),
    *(Field(name=name, kind="time") for name in ("created_time", "last_modified_time")),
)
#: Fields of rows that several live clients read, by the path of the list.
_ROW_FIELDS: Final[Mapping[str, tuple[Field, ...]]] = {"/customerpayments": _PAYMENT_ROW}


@functools.cache
def undescribed(product: str) -> Mapping[str, OperationFacts]:
    """Return the operations of a product that only live clients name."""
    return {facts.name: facts for facts in _undescribed(product)}


def _undescribed(product: str) -> Iterator[OperationFacts]:
    for here, resource, source in _BORROWED:
        if here == product:
            other, _, verb = source.rpartition(".")
            facts = description.load(other.partition(".")[0]).named(source)
            scope = facts.scope.replace("ZohoBooks", "ZohoInventory")
            scope = scope if product == "inventory" else ""
            name = f"{product}.{resource}.{verb}"
            yield msgspec.structs.replace(facts, name=name, scope=scope)


def live_row_fields(facts: OperationFacts) -> tuple[Field, ...]:
    """Return the fields of a list's rows, with those that only live clients name."""
    described = {field.name for field in facts.reply}
    more = _ROW_FIELDS.get(facts.path, ())
    return (*facts.reply, *(field for field in more if field.name not in described))
