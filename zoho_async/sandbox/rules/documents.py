"""Document families as tables: what each family is, and what can be applied to what.

A *debt* is to be paid (an invoice, a bill, a retainer). A *credit* is an amount that a party can
use (a credit note, a vendor credit). A *payment* is money received or sent. An *order* has no
balance yet. The four products use the same words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec

Role: TypeAlias = Literal["debt", "credit", "payment", "order"]


class Kind(msgspec.Struct, frozen=True):
    """One family: the first word of its paths, its role, and the field of its party.

    ``opened`` is the status of a document with nothing settled. ``listed`` is the field in which a
    source lists its applications.
    """

    word: str
    role: Role
    party: str
    opened: str = ""
    listed: str = ""


class DocumentLink(msgspec.Struct, frozen=True):
    """A pair of families that can be applied to each other.

    ``figure`` is the field of the target that grows. ``at_target`` and ``at_source`` are the lists
    below either document that show the application, if the product has them.
    """

    source: str
    target: str
    figure: str
    at_target: str = ""
    at_source: str = ""


KINDS: Final[Mapping[str, Kind]] = {
    kind.word: kind
    for kind in (
        Kind("invoices", "debt", "customer_id", "sent"),
        Kind("bills", "debt", "vendor_id", "open"),
        Kind("retainerinvoices", "debt", "customer_id", "sent"),
        Kind("creditnotes", "credit", "customer_id", "open", "invoices"),
        Kind("vendorcredits", "credit", "vendor_id", "open", "bills_credited"),
        Kind("customerpayments", "payment", "customer_id", "", "invoices"),
        Kind("payments", "payment", "customer_id", "", "invoices"),
        Kind("vendorpayments", "payment", "vendor_id", "", "bills"),
        Kind("estimates", "order", "customer_id"),
        Kind("salesorders", "order", "customer_id", "open"),
        Kind("purchaseorders", "order", "vendor_id", "open"),
        Kind("unbilledcharges", "order", "customer_id", "open"),
    )
}

LINKS: Final[Mapping[tuple[str, str], DocumentLink]] = {
    (link.source, link.target): link
    for link in (
        DocumentLink("customerpayments", "invoices", "payment_made", "payments"),
        DocumentLink("payments", "invoices", "payment_made"),
        DocumentLink("creditnotes", "invoices", "credits_applied", "creditsapplied", "invoices"),
        DocumentLink("retainerinvoices", "invoices", "payment_made"),
        DocumentLink("customerpayments", "retainerinvoices", "payment_made"),
        DocumentLink("vendorpayments", "bills", "payment_made", "payments"),
        DocumentLink("vendorcredits", "bills", "vendor_credits_applied", "", "bills"),
    )
}

#: Amounts that are subtracted from the total of a debt.
SETTLING: Final = ("payment_made", "credits_applied", "vendor_credits_applied", "write_off_amount")
#: Derived figures, which no body can set.
DERIVED: Final = frozenset(
    {
        *SETTLING,
        *("total", "sub_total", "tax_total", "balance", "payment_drawn", "unused_amount"),
        *("amount_refunded", "total_credits_used", "total_refunded_amount", "bills_credited"),
    }
)


def kind_at(path: tuple[str, ...]) -> Kind | None:
    """The family of the records at a path like ``("bills",)``."""
    return KINDS.get(path[0]) if len(path) == 1 else None
