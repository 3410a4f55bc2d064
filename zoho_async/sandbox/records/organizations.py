"""Organizations of the user, one row each. The list is not paged."""

from __future__ import annotations

from typing import Final

from zoho_async.sandbox.data.dates import day_formatted, moment_of, stamp
from zoho_async.sandbox.data.seed import SampleData
from zoho_async.sandbox.records.resource import Record

#: The only user of the sandbox.
USER: Final = "Sam Sandbox"
EMAIL: Final = "sam@example.com"
#: The user as a record of an organization's users.
THE_USER: Final[Record] = {
    "name": USER,
    "email": EMAIL,
    "user_role": "admin",
    "status": "active",
    "is_current_user": True,
}
FISCAL: Final = "fiscal_year_start_month"
#: Of organizations that set no other.
TIME_ZONE: Final = "America/Sao_Paulo"
_MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june", "july", "august"),
    *("september", "october", "november", "december"),
)


def row(world: SampleData, is_default: bool) -> Record:
    """One row of ``GET /organizations``."""
    name = world.party(0, world.draw("organization", 1)).rsplit(" ", 1)[0]
    return {
        "organization_id": world.organization,
        "name": name,
        "contact_name": USER,
        "email": EMAIL,
        "is_default_org": is_default,
        "language_code": "en",
        "language_code_formatted": "English",
        FISCAL: "january",
        "account_created_date": str(world.calendar.first),
        "account_created_date_formatted": day_formatted(str(world.calendar.first)),
        "time_zone": TIME_ZONE,
        "time_zone_formatted": "(GMT -3:00) Brasilia Standard Time",
        "is_org_active": True,
        "currency_id": world.currency_id,
        "currency_code": world.currency_code,
        "currency_symbol": world.currency_symbol,
        "currency_format": "###,##0.00",
        "price_precision": 2,
        "plan_type": 130 if world.seeded else 0,
        "plan_name": "PROFESSIONAL" if world.seeded else "FREE",
        "plan_period": "Monthly" if world.seeded else "",
        "tax_group_enabled": True,
        "zi_migration_status": 0,
        "user_role": "admin",
        "user_status": "1",
        "user_status_formatted": "Active",
        "is_trial_expired": "",
        "version": "latest",
        "mode": "",
    }


def detail(world: SampleData, is_default: bool) -> Record:
    """The reply of ``GET /organizations/{organization_id}``: more fields, some of other types."""
    return {
        **row(world, is_default),
        FISCAL: "april",
        "date_format": "dd/MM/yyyy",
        "field_separator": "/",
        "org_address": "",
        "remit_to_address": "",
        "phone": "",
        "fax": "",
        "website": "",
        "tax_basis": "",
        "is_logo_uploaded": False,
        "industry_type": "Services",
        "address": dict.fromkeys(
            ("street_address1", "street_address2", "city", "state", "country", "zip"), ""
        ),
        "custom_fields": [],
        "created_time": stamp(moment_of(world.calendar.first)),
    }


def settled(record: Record) -> Record:
    """Set the fields that follow from others."""
    record["account_created_date_formatted"] = day_formatted(record["account_created_date"])
    if record["time_zone"] != TIME_ZONE:
        record["time_zone_formatted"] = record["time_zone"]
    return record


def month(name: str, as_number: bool) -> str | int:
    """The first month of the fiscal year, as its name or counted from 0."""
    return _MONTHS.index(name) if as_number and name in _MONTHS else name
