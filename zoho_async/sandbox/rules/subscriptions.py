"""Subscriptions: their price, their status and their next billing date.

Model
-----
A subscription belongs to a plan, which sets its price, interval and trial. The body can override
these. Statuses:

- ``future`` until it starts, ``trial`` during its trial, then ``live``,
- ``expired`` after the last billing cycle, if cycles are limited,
- ``non_renewing`` if it was cancelled at the end of its term, else ``cancelled``. Neither is
  billed again. Only ``non_renewing`` can be reactivated.

A term lasts one interval. ``next_billing_at`` is the day on which it ends and the next one starts.
A renewal can be postponed but not moved forward. A change for the end of the term is stored as a
scheduled change and has no effect yet.

Not simulated
-------------
Time does not advance: statuses are those at the time of the write. Prorating, taxes, coupons,
price tiers and the invoices of terms are not simulated, because Zoho does not document their
rules. Dates stay when the plan changes. The description has no operations to pause or resume.
"""

from __future__ import annotations

import calendar
from bisect import bisect_right
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Final

from zoho_async.sandbox.api.context import OperationHandler, RequestContext
from zoho_async.sandbox.api.render import record_reply
from zoho_async.sandbox.data.schemas import schemas
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.data.values import is_list, is_object
from zoho_async.sandbox.replies import ApiRefusal, ApiReply, invalid_field
from zoho_async.sandbox.rules.amounts import exact, money, plain
from zoho_async.sandbox.rules.settlement import FORBIDDEN

PATH: Final = ("subscriptions",)
_PRODUCT: Final = "billing"
_MOST_DAYS: Final = 365_000
_NO_PLAN: Final = 101002
_MONTHS: Final = {"months": 1, "month": 1, "years": 12, "year": 12}
_DAYS: Final = {"weeks": 7, "week": 7, "days": 1, "day": 1}


def _cancel(ask: RequestContext) -> ApiReply:
    at_end = str(ask.call.params.get("cancel_at_end", "")).lower() == "true"
    status = "non_renewing" if at_end else "cancelled"
    return _change(ask, {"status": status, "next_billing_at": ""})


def _reactivate(ask: RequestContext) -> ApiReply:
    state = _state(ask)
    if state.get("status") != "non_renewing":
        text = "Only a non_renewing subscription can be reactivated."
        raise ApiRefusal(400, FORBIDDEN, text)
    ends = state.get("current_term_ends_at", "")
    return _change(ask, {"status": "live", "next_billing_at": ends})


def _postpone(ask: RequestContext) -> ApiReply:
    wanted, now = _day(ask.call.body.get("renewal_at")), _day(_state(ask).get("next_billing_at"))
    if wanted is None or (now is not None and wanted <= now):
        raise invalid_field("renewal_at")
    return _change(ask, {"next_billing_at": str(wanted), "current_term_ends_at": str(wanted)})


def _schedule_change(ask: RequestContext) -> ApiReply | None:
    """Keep a change for the end of the term. Any other change is made at once."""
    if ask.call.body.get("end_of_term") not in (True, "true"):
        return None
    ask.store.keep_thing(_PRODUCT, f"{ask.call.path}/scheduledchanges", ask.call.body)
    return _change(ask, {"end_of_term": True})


def _state(ask: RequestContext) -> dict[str, Any]:
    found = ask.records[0]
    return found.collection.state(found.index) if found is not None else {}


def _change(ask: RequestContext, changed: Mapping[str, Any]) -> ApiReply:
    found = ask.records[0]
    assert found is not None  # the path of each operation names a subscription
    found.collection.change(found.index, changed)
    return record_reply(ask.facts, found, "The subscription has been updated.")


#: The operations of this module.
HANDLERS: Final[Mapping[str, OperationHandler]] = {
    "billing.subscriptions.cancel": _cancel,
    "billing.subscriptions.reactivate": _reactivate,
    "billing.subscriptions.postpone_renewal": _postpone,
    "billing.subscriptions.update": _schedule_change,
}


def prepare(ask: RequestContext, fields: dict[str, Any], before: Mapping[str, Any]) -> None:
    """Fill in what follows from the plan and the start. Raises `ApiRefusal` for an unknown plan."""
    named = fields.get("plan")
    wanted: dict[str, Any] = named if is_object(named) else {}
    code = wanted.get("plan_code")
    if not code:
        return
    plan = _plan(ask.store, str(code))
    price = exact(wanted.get("price", plan.get("recurring_price")))
    number = exact(wanted.get("quantity", 1))
    total = price * number
    fields["plan"] = {
        **wanted,
        "name": plan.get("name", ""),
        "price": money(price),
        "quantity": plain(number),
        "total": money(total),
    }
    addons: Any = fields.get("addons", before.get("addons"))
    rows = [each for each in addons if is_object(each)] if is_list(addons) else []
    more = (exact(each.get("price")) * exact(each.get("quantity", 1)) for each in rows)
    fields["amount"] = money(sum(more, total))
    fields["interval"] = str(plan.get("interval") or 1)
    fields["interval_unit"] = str(plan.get("interval_unit") or "months")
    if not before:
        fields |= _first_dates(fields, wanted, plan, date.fromisoformat(ask.store.world.day_now()))


def _plan(store: Store, code: str) -> dict[str, Any]:
    plans = store.at(schemas(_PRODUCT).by_path["plans",], ())
    index = plans.find(code)
    if index is None:
        raise ApiRefusal(404, _NO_PLAN, "Plan does not exist.")
    return plans.state(index)


def _first_dates(
    fields: Mapping[str, Any], wanted: Mapping[str, Any], plan: Mapping[str, Any], today: date
) -> dict[str, Any]:
    starts = _day(fields.get("starts_at")) or today
    days = _trial_days(wanted, plan)
    cycles = int(exact(wanted.get("billing_cycles", plan.get("billing_cycles"))))
    if starts > today:
        return _dates("future", starts, None, starts)
    billed_from = starts + timedelta(days=days)
    if days and billed_from > today:
        return _dates("trial", starts, billed_from, billed_from)
    most = (today - billed_from).days + 2  # an interval lasts at least one day
    over = range(1, min(cycles, most) if cycles > 0 else 1 if cycles else most)
    done = bisect_right(over, today, key=lambda terms: _later(billed_from, fields, terms))
    begins = _later(billed_from, fields, done) if done else billed_from
    ends = _later(billed_from, fields, done + 1)
    expires = _later(billed_from, fields, cycles) if cycles > 0 else None
    if expires is not None and expires <= today:
        dates = _dates("expired", begins, ends, None)
    else:
        dates = _dates("live", begins, ends, ends)
    dates |= {"activated_at": str(billed_from), "last_billing_at": str(begins)}
    return dates | ({"expires_at": str(expires)} if expires is not None else {})


def _dates(status: str, begins: date, ends: date | None, billed: date | None) -> dict[str, Any]:
    return {
        "status": status,
        "current_term_starts_at": str(begins) if ends is not None else "",
        "current_term_ends_at": str(ends or ""),
        "next_billing_at": str(billed or ""),
    }


def _trial_days(wanted: Mapping[str, Any], plan: Mapping[str, Any]) -> int:
    """Trial days in the body count even if the body excludes the plan's trial."""
    days = wanted.get("trial_days")
    if days in (None, ""):
        days = 0 if wanted.get("exclude_trial") is True else plan.get("trial_period")
    return max(0, min(int(exact(days)), _MOST_DAYS))


def _later(since: date, fields: Mapping[str, Any], terms: int) -> date:
    """The day ``terms`` intervals later: the same day of its month, or the month's last.

    At most a thousand years later, because the interval of a plan can be absurd.
    """
    length = max(1, int(exact(fields["interval"]))) * terms
    unit = fields["interval_unit"]
    if unit in _DAYS:
        return since + timedelta(days=min(length * _DAYS[unit], _MOST_DAYS))
    months = since.year * 12 + since.month - 1 + min(length * _MONTHS.get(unit, 1), 12_000)
    year, month = divmod(months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return date(year, month + 1, min(since.day, last))


def _day(value: Any) -> date | None:
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        return None
