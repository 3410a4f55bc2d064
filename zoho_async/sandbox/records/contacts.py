"""Contacts, with the keys and custom fields of recorded lists and details."""

from __future__ import annotations

from typing import Any, Final

from zoho_async.sandbox.data.dates import day_formatted, stamp
from zoho_async.sandbox.data.seed import GIVEN, SampleData, person_id
from zoho_async.sandbox.records.resource import (
    ACTIVE,
    INACTIVE,
    Record,
    ResourceRules,
    settle_custom_fields,
)

#: Some people are known by their last name only.
_GIVEN: Final = (*GIVEN, "", "")
_TEMPLATES: Final = tuple(
    f"{kind}_template_{part}"
    for kind in (
        *("statement", "invoice", "bill", "estimate", "creditnote", "paymentthankyou"),
        *("invoice_email", "estimate_email", "creditnote_email", "paymentthankyou_email"),
        "payment_remittance_email",
    )
    for part in ("id", "name")
)
_ADDRESS: Final = (
    *("attention", "address", "street2", "city", "state_code", "state"),
    *("zip", "country", "county", "country_code", "phone", "fax"),
)


class Contacts(ResourceRules):
    name: str = "books.contacts"
    path: str = "/contacts"
    key: str = "contacts"
    single: str = "contact"
    id_field: str = "contact_id"
    report_name: str = "Contacts"
    default_sort: tuple[str, str] = ("contact_name", "A")
    searched: tuple[str, ...] = ("contact_name", "company_name", "notes")
    ignored: frozenset[str] = frozenset({"contact_type"})
    added: str = "The contact has been added."
    saved: str = "Contact information has been saved."
    deleted: str = "The customer has been deleted."
    missing: tuple[int, str] = (1002, "Contact does not exist.")
    verbs: dict[str, tuple[str, str, str]] = {
        "active": ("status", ACTIVE, "The contact has been marked as active."),
        "inactive": ("status", INACTIVE, "The contact has been marked as inactive."),
    }
    blanks: Record = {
        **dict.fromkeys(
            ("contact_name", "company_name", "first_name", "last_name", "email", "phone"), ""
        ),
        **dict.fromkeys(("mobile", "website", "notes", "designation", "department"), ""),
        "contact_type": "customer",
        "customer_sub_type": "business",
        "status": ACTIVE,
        "source": "api",
        "payment_terms": 0,
        "payment_terms_label": "Due on Receipt",
        "outstanding_receivable_amount": 0.0,
        "unused_credits_receivable_amount": 0.0,
        "has_transaction": False,
        "contact_persons": [],
        "primary_contact_id": "",
        "tags": [],
    }

    def row(self, world: SampleData, index: int) -> Record:
        draw = world.draw(self.name, index)
        name = world.party(index, draw)
        first = _GIVEN[draw[5] % 8]
        party = world.sales.party(index)
        kind = "vendor" if party.is_vendor else "customer"
        terms = party.terms
        currency_id, currency_code, _ = world.currency(party.currency)
        owed, credit = (cents / 100 for cents in world.sales.open_amounts.get(party.id, (0, 0)))
        rate = world.sales.rate(party.currency, str(world.today))
        made = world.created(self.name, index)
        created, modified = stamp(made), stamp(world.modified(made, draw))
        return {
            "contact_id": world.id(self.name, index),
            "contact_name": name,
            "customer_name": name,
            "vendor_name": name,
            "company_name": "" if draw[13] % 6 == 0 else f"{name} Ltd",
            "website": "",
            "language_code": "en",
            "language_code_formatted": "English",
            "contact_type": kind,
            "contact_type_formatted": kind.capitalize(),
            "status": INACTIVE if draw[14] % 12 == 0 else ACTIVE,
            "customer_sub_type": "business",
            "source": "user" if draw[15] % 4 else "api",
            "is_linked_with_zohocrm": False,
            "payment_terms": terms,
            "payment_terms_label": f"Net {terms}" if terms else "Due on Receipt",
            "currency_id": currency_id,
            "twitter": "",
            "facebook": "",
            "currency_code": currency_code,
            "outstanding_receivable_amount": owed,
            "outstanding_receivable_amount_bcy": round(owed * rate, 2),
            "outstanding_payable_amount": 0.0,
            "outstanding_payable_amount_bcy": 0.0,
            "unused_credits_receivable_amount": credit,
            "unused_credits_receivable_amount_bcy": round(credit * rate, 2),
            "unused_credits_payable_amount": 0.0,
            "unused_credits_payable_amount_bcy": 0.0,
            "first_name": first,
            "last_name": "Okafor",
            "email": f"contact{index}@example.com" if first else "",
            "phone": f"+1-555-{draw[16]:04d}" if draw[16] % 2 else "",
            "mobile": "",
            "portal_status": "disabled",
            "portal_status_formatted": "Disabled",
            "created_time": created,
            "created_time_formatted": day_formatted(created),
            "last_modified_time": modified,
            "last_modified_time_formatted": day_formatted(modified),
            **world.custom_fields(draw),
            "ach_supported": False,
            "has_attachment": False,
        }

    def detail(self, world: SampleData, index: int, row: Record) -> Record:
        twins = ("customer_name", "vendor_name", "has_attachment")
        shared = {
            name: value
            for name, value in row.items()
            if name not in twins
            and (not name.endswith("_formatted") or name == "language_code_formatted")
        }
        id_, currency = world.id, world.sales.party(index).currency
        currency_id, code, symbol = world.currency(currency)
        return {
            **shared,
            **dict.fromkeys(("contact_tax_information", "designation", "department"), ""),
            "is_bcy_only_contact": not currency,
            "is_credit_limit_migration_completed": True,
            "contact_salutation": "",
            "invited_by": "",
            "is_client_review_asked": False,
            "has_transaction": index < world.size(self.name) * 4 // 5,
            "owner_id": "",
            "owner_name": "",
            "documents": [],
            "is_crm_customer": False,
            "primary_contact_id": person_id(row["contact_id"], 0),
            **dict.fromkeys(("zcrm_account_id", "zcrm_contact_id", "crm_owner_id"), ""),
            "payment_terms_id": "",
            "credit_limit_exceeded_amount": 0.0,
            "currency_symbol": symbol,
            "price_precision": 2,
            "exchange_rate": "",
            "can_show_customer_ob": True,
            "can_show_vendor_ob": True,
            "opening_balance_amount": 0.0,
            "opening_balance_amount_bcy": "",
            "outstanding_ob_receivable_amount": 0.0,
            "outstanding_ob_payable_amount": 0.0,
            "unused_retainer_payments": 0.0,
            "payment_reminder_enabled": True,
            "is_sms_enabled": True,
            "is_consent_agreed": False,
            "consent_date": "",
            "is_client_review_settings_enabled": False,
            **dict.fromkeys(("tax_id", "tax_name", "tax_percentage", "contact_category"), ""),
            "sales_channel": "direct_sales",
            "portal_receipt_count": 0,
            "opening_balances": [],
            "allow_parent_for_payment_and_view": False,
            "entity_address_id": id_(self.name, index, 4),
            "billing_address": _address(id_(self.name, index, 2)),
            "shipping_address": {
                **_address(id_(self.name, index, 3)),
                "latitude": "",
                "longitude": "",
            },
            "contact_persons": [],  # see `nested`
            "addresses": [],
            "pricebook_id": "",
            "pricebook_name": "",
            "default_templates": dict.fromkeys(_TEMPLATES, ""),
            "associated_with_square": False,
            **{name: [] for name in ("cards", "checks", "bank_accounts", "vpa_list")},
            "notes": "",
            "created_date": day_formatted(row["created_time"]),
            "created_by_name": "Sam Sandbox",
            "tags": [],
            **dict.fromkeys(("zohopeople_client_id", "siret_number", "company_id"), ""),
            "customer_currency_summaries": [
                {
                    "currency_id": currency_id,
                    "currency_code": code,
                    "currency_symbol": symbol,
                    "price_precision": 2,
                    "is_base_currency": not currency,
                    "currency_name_formatted": code if currency else world.currency_name,
                    "outstanding_receivable_amount": row["outstanding_receivable_amount"],
                    "unused_credits_receivable_amount": row["unused_credits_receivable_amount"],
                }
            ],
        }

    def settle(self, world: SampleData, state: Record) -> None:
        settle_custom_fields(world, state)
        state["customer_name"] = state["vendor_name"] = state["contact_name"]
        state["contact_type_formatted"] = str(state["contact_type"]).capitalize()
        terms = state["payment_terms"]
        state["payment_terms_label"] = f"Net {terms}" if terms else "Due on Receipt"

    def matches(self, record: Record, filter_by: str, today: str) -> bool:
        if filter_by in ("Invoice.OverDue", "Invoice.Unpaid"):
            return bool(record["outstanding_receivable_amount"])
        if filter_by in ("Status.PortalEnabled", "Status.PortalDisabled"):
            return bool(record["portal_status"] == filter_by.removeprefix("Status.Portal").lower())
        return super().matches(record, filter_by, today)


def _address(address_id: str) -> dict[str, Any]:
    return {"address_id": address_id, **dict.fromkeys(_ADDRESS, "")}
