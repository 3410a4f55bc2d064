"""Projects, with the keys of recorded lists and details; some amounts are text."""

from __future__ import annotations

from typing import Final

from zoho_async.sandbox.data.dates import stamp
from zoho_async.sandbox.data.seed import SampleData
from zoho_async.sandbox.records.resource import ACTIVE, INACTIVE, Record, ResourceRules

_WORK: Final = ("Website", "Audit", "Fit-out", "Study", "Migration", "Opéra", "Survey", "Rebrand")
_BILLING: Final = (
    *("fixed_cost_for_project", "based_on_project_hours"),
    *("based_on_staff_hours", "based_on_task_hours"),
)


class Projects(ResourceRules):
    name: str = "books.projects"
    path: str = "/projects"
    key: str = "projects"
    single: str = "project"
    id_field: str = "project_id"
    report_name: str = "Projects"
    default_sort: tuple[str, str] = ("project_name", "A")
    searched: tuple[str, ...] = ("project_name", "customer_name")
    added: str = "The project has been created."
    saved: str = "The project information has been updated."
    deleted: str = "The project has been deleted"
    missing: tuple[int, str] = (1002, "Project does not exist.")
    verbs: dict[str, tuple[str, str, str]] = {
        "active": ("status", ACTIVE, "The Project has been marked as active."),
        "inactive": ("status", INACTIVE, "The project has been marked as inactive."),
    }
    blanks: Record = {
        **dict.fromkeys(("project_name", "project_code", "customer_id", "customer_name"), ""),
        **dict.fromkeys(("description", "budget_type", "project_head_id"), ""),
        "status": ACTIVE,
        "billing_type": "fixed_cost_for_project",
        "rate": 0.0,
        "cost_budget_amount": 0.0,
        "tasks": [],
        "users": [],
    }

    def row(self, world: SampleData, index: int) -> Record:
        draw = world.draw(self.name, index)
        customer_id, customer_name = world.customer(draw)
        created = world.created(self.name, index)
        return {
            "project_id": world.id(self.name, index),
            "project_name": f"{_WORK[draw[0] % 8]} {index}",
            "project_code": "",
            "customer_id": customer_id,
            "customer_name": customer_name,
            "description": "Purus in massa tempor nec." if draw[5] % 2 else "",
            "can_be_invoiced": True,
            "status": INACTIVE if draw[6] % 6 == 0 else ACTIVE,
            "billing_type": _BILLING[draw[7] % 4],
            "rate": int.from_bytes(draw[8:11], "big") / 100,
            "created_time": stamp(created),
            "last_modified_time": stamp(world.modified(created, draw)),
            "has_attachment": False,
            "total_hours": "00:00",
            "billable_hours": "00:00",
            "other_service_app_source": "",
            "users_working": 1 + draw[11] % 5,
            "custom_fields": [],
        }

    def detail(self, world: SampleData, index: int, row: Record) -> Record:
        shared = (
            *("project_id", "project_name", "project_code", "customer_id", "customer_name"),
            *("description", "status", "billing_type", "rate", "total_hours", "billable_hours"),
            *("created_time", "custom_fields"),
        )
        rate = row["rate"]
        return {
            **{name: row[name] for name in shared},
            "currency_id": world.currency_id,
            "currency_code": world.currency_code,
            "customer_first_name": "",
            "customer_email": "",
            "photo_url": "https://secure.gravatar.com/avatar/00000000000000000000000000000000?&d=mm",
            "billing_rate_frequency": "fixed",
            "is_from_zoho_projects": False,
            "budget_type": "",
            "budget_amount": 0.0,
            "cost_budget_amount": 0.375,
            "is_budget_threshold_notification_enabled": False,
            "is_client_approval_needed": False,
            "is_user_approval_needed": False,
            "hours_per_day": "00:00",
            "project_head_id": "",
            "project_head_name": "",
            "is_valid_project_head": True,
            "budget_threshold": 80.0,
            "budget_threshold_formatted": "80.00%",
            "is_expense_inclusive": 0,
            "total_amount": rate,
            "total_amount_expense_inclusive": "",
            "billed_hours": "00:00",
            "billed_amount": "0.00",
            "un_billed_hours": "00:00",
            "un_billed_amount": f"{rate:.3f}",
            "billable_amount": 0.0,
            "non_billable_hours": "00:00",
            "non_billable_amount": 0.0,
            "unused_retainer_payments": 0.0,
            "has_active_recurring_profiles": False,
            "created_by_id": world.user_id,
            "last_modified_by_id": world.user_id,
            "zohopeople_project_id": "",
            "is_from_zoho_people": False,
            "zohoworkerly_project_id": "",
            "show_in_dashboard": False,
            "accounts_budgets": [],
            "tasks": [],
            "users": [],
            "custom_field_hash": {},
            "documents": [],
        }

    def settle(self, world: SampleData, state: Record) -> None:
        state["total_amount"] = state["rate"]
        state["un_billed_amount"] = f"{state['rate'] or 0:.3f}"
