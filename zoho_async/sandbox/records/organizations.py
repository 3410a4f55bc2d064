"""Organizations: one row for each that the user belongs to; the list is not paged."""

from __future__ import annotations

from collections.abc import Sequence

from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.world import World


def row(world: World, organizations: Sequence[str]) -> Record:
    """What ``GET /organizations`` says of one organization."""
    name = world.party(0, world.draw("organization", 1)).rsplit(" ", 1)[0]
    return {
        "organization_id": world.organization,
        "name": name,
        "contact_name": "Sam Sandbox",
        "email": "sam@example.com",
        "is_default_org": world.organization == organizations[0],
        "language_code": "en",
        "language_code_formatted": "English",
        "fiscal_year_start_month": 0,
        "account_created_date": "2023-01-01",
        "account_created_date_formatted": "01/01/2023",
        "time_zone": "America/Sao_Paulo",
        "time_zone_formatted": "(GMT -3:00) Brasilia Standard Time",
        "is_org_active": True,
        "currency_id": world.currency_id,
        "currency_code": "USD",
        "currency_symbol": "$",
        "currency_format": "###,##0.00",
        "price_precision": 2,
        "plan_type": 130,
        "plan_name": "PROFESSIONAL",
        "plan_period": "Monthly",
        "tax_group_enabled": True,
        "zi_migration_status": 0,
        "user_role": "admin",
        "user_status": "1",
        "user_status_formatted": "Active",
        "is_trial_expired": "",
        "version": "latest",
        "mode": "",
    }


def detail(world: World, organizations: Sequence[str]) -> Record:
    """What ``GET /organizations/{organization_id}`` adds, in other types here and there."""
    return {
        **row(world, organizations),
        "fiscal_year_start_month": "april",
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
        "created_time": "2023-01-01T09:00:00-0300",
    }
