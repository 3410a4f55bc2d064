"""How completely the sandbox simulates each operation.

Level 1 is every operation: routing, validation, the reply's envelope, and records that can be
created, read, changed and deleted. Level 2 adds the rules of a module: totals, balances, statuses
that follow from them, conversions, and subscription terms. `rules` lists what is not known.

Each operation also has a mark, which says what its behavior rests on: ``recorded`` (exchanges with
the live service were recorded, and the sandbox answers as they do), ``documented`` (Zoho's
specification of the product), or ``assumed`` (only another product's specification, or clients that
are used with the live service: the observed operations).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from zoho_async import description
from zoho_async.operation import PRODUCTS
from zoho_async.sandbox.api.undescribed import undescribed

Level: TypeAlias = Literal[1, 2]
Mark: TypeAlias = Literal["recorded", "documented", "assumed"]

_ALL: Final = "books invoice inventory billing"
_SHARED: Final = "books invoice inventory"
_STOCK: Final = "books inventory"
_WRITES: Final = "create update get delete"
_REFUNDS: Final = "list_refunds get_refund update_refund delete_refund"
_ORDER: Final = f"{_WRITES} list"
_OFFERED: Final = "mark_as_sent mark_as_accepted mark_as_declined"
_APPROVED: Final = "reject approve_finally bulk_submit bulk_approve"
#: Resource, products, and the operations that have rules in `rules`.
_RULED: Final = (
    ("invoices", _ALL, f"{_ORDER} void write_off cancel_write_off"),
    ("invoices", _SHARED, "mark_as_sent mark_as_draft apply_credits list_payments"),
    ("invoices", _SHARED, "delete_payment list_credits_applied delete_applied_credit"),
    ("invoices", "books", "upsert create_from_sales_order"),
    ("invoices", "books", "bulk_create_from_estimates bulk_create_from_projects"),
    ("invoices", "books", "bulk_void bulk_write_off bulk_delete bulk_mark_as_sent"),
    ("invoices", "billing", "apply_multiple_credits convert_to_open collect_charge"),
    ("invoices", "billing", "add_items_to_pending delete_items_from_pending"),
    ("bills", _STOCK, f"{_ORDER} void mark_as_open"),
    ("bills", "books", "upsert apply_credits list_payments delete_payment"),
    ("bills", "books", "convert_purchase_order"),
    ("retainer_invoices", _SHARED, f"{_ORDER} void mark_as_sent mark_as_draft"),
    ("retainer_invoices", "books", "apply_retainer_payments_to_invoices"),
    ("retainer_invoices", "books", "delete_applied_retainer_payment"),
    ("credit_notes", _SHARED, f"{_ORDER} void apply_to_invoices list_invoices delete_invoice"),
    ("credit_notes", _SHARED, f"create_refund {_REFUNDS}"),
    ("credit_notes", _STOCK, "mark_as_draft mark_as_open"),
    ("credit_notes", "invoice", "convert_to_open"),
    ("credit_notes", "billing", "create get delete void convert_to_open apply_to_invoices"),
    ("credit_notes", "books", "upsert"),
    ("vendor_credits", _STOCK, f"{_ORDER} void mark_as_open apply_to_bills delete_bill"),
    ("vendor_credits", _STOCK, f"list_bills_credited refund {_REFUNDS}"),
    ("customer_payments", _SHARED, _ORDER),
    ("customer_payments", "books invoice", f"create_refund {_REFUNDS}"),
    ("customer_payments", "books", "upsert bulk_delete"),
    ("vendor_payments", "books", f"{_ORDER} upsert bulk_delete refund_excess {_REFUNDS}"),
    ("payments", "billing", _WRITES),
    ("refunds", "billing", "refund_credit_note refund_payment"),
    ("estimates", "books invoice", f"{_ORDER} {_OFFERED}"),
    ("estimates", "books", "upsert submit approve"),
    ("quotes", "billing", f"{_ORDER} {_OFFERED}"),
    ("sales_orders", _STOCK, f"{_ORDER} void submit approve"),
    ("sales_orders", "books", "upsert mark_as_open"),
    ("sales_orders", "inventory", f"mark_as_confirmed bulk_confirm {_APPROVED}"),
    ("purchase_orders", _STOCK, f"{_ORDER} mark_as_cancelled submit approve reject"),
    ("purchase_orders", "books", "upsert mark_as_open mark_as_billed"),
    ("purchase_orders", "inventory", f"mark_as_issued {_APPROVED}"),
    ("time_entries", "books invoice billing", "create update"),
    ("expenses", "books invoice billing", "create update delete"),
    ("expenses", "books invoice", "upsert"),
    ("unbilled_charges", "billing", "get delete convert_to_invoice"),
    ("subscriptions", "billing", "create update get list cancel reactivate"),
    ("subscriptions", "billing", "postpone_renewal get_scheduled_changes"),
    ("subscriptions", "billing", "add_charge buy_one_time_addon"),
)

#: The operations at level 2, as ``product.resource.verb``.
WITH_RULES: Final[frozenset[str]] = frozenset(
    f"{product}.{resource}.{verb}"
    for resource, products, verbs in _RULED
    for product in products.split()
    for verb in verbs.split()
)


_PARTY: Final = "list get create update delete mark_as_active mark_as_inactive"
#: The operations that occur in recordings of the live service.
RECORDED: Final[frozenset[str]] = frozenset(
    {
        *(f"books.contacts.{verb}" for verb in _PARTY.split()),
        *(f"books.projects.{verb}" for verb in _PARTY.split()),
        "books.projects.clone",
    }
)


def level_of(operation: str) -> Level:
    """Return the level of an operation. Raises `KeyError` for an unknown operation."""
    product = operation.partition(".")[0]
    if product not in PRODUCTS:
        raise KeyError(operation)
    description.load(product).named(operation)
    return 2 if operation in WITH_RULES else 1


def counts() -> Mapping[str, Mapping[Level, int]]:
    """Count the operations at each level, by product."""
    return {
        product: {
            1: sum(each.name not in WITH_RULES for each in description.operations(product)),
            2: sum(each.name in WITH_RULES for each in description.operations(product)),
        }
        for product in PRODUCTS
    }


@functools.cache
def levels() -> Mapping[str, Level]:
    """Return the level of every operation of all products."""
    return {
        each.name: 2 if each.name in WITH_RULES else 1
        for product in PRODUCTS
        for each in description.operations(product)
    }


@functools.cache
def marks() -> Mapping[str, Mark]:
    """Return the mark of every operation, with those that no description has."""
    found: dict[str, Mark] = {}
    for product in PRODUCTS:
        for each in description.operations(product):
            known: Mark = "assumed" if each.unconfirmed or each.evidence else "documented"
            found[each.name] = "recorded" if each.name in RECORDED else known
        found |= dict.fromkeys(undescribed(product), "assumed")
    return found
