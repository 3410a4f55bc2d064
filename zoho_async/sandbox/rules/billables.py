"""Billable time and expenses, and the invoices that bill them.

Model
-----
A line of an invoice names what it bills: ``time_entry_ids`` or ``expense_id``, and their
``project_id``. A billed entry is ``invoiced`` and names its invoice. It is unbilled again if the
invoice is void, deleted, or no longer names it. An entry that another invoice bills is refused.

An invoice made from a project bills everything unbilled: the hours by the project's billing type,
and each billable expense as one line.

    fixed_cost_for_project    the project's rate, less what live invoices billed of it
    based_on_project_hours    unbilled hours x the project's rate
    based_on_task_hours       for each task, its unbilled hours x its rate
    based_on_staff_hours      for each user, their unbilled hours x their rate

Documented
----------
The billing types, and that unbilled time and expenses of a project are billed this way. An
invoiced expense cannot be deleted (5001), moved to another contact (5019) or made non-billable
(5032).

Assumed
-------
- The number and texts of the lines above.
- A task or user without a rate has the project's rate.
- Billing an entry twice is refused, with the code used here.
- A project with nothing unbilled gives no invoice.
- Hours are exact to a millionth.
- Seeded entries and expenses are unbilled, whatever their status says.

The totals of hours and amounts that a project shows are not simulated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias

from zoho_async.sandbox.api.context import RecordRef
from zoho_async.sandbox.data.collection import Collection
from zoho_async.sandbox.data.schemas import CollectionSchema, schemas
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.data.values import is_list, is_object
from zoho_async.sandbox.replies import ApiRefusal
from zoho_async.sandbox.rules.amounts import exact, lines_of, money, plain
from zoho_async.sandbox.rules.settlement import FORBIDDEN, End

#: The path of a collection and the id of a billable record in it.
Billable: TypeAlias = tuple[tuple[str, ...], str]

ENTRIES: Final = ("projects", "timeentries")
EXPENSES: Final = ("expenses",)
_PROJECTS: Final = ("projects",)
_TASKS: Final = ("projects", "{}", "tasks")
_USERS: Final = ("projects", "{}", "users")
_INVOICES: Final = ("invoices",)
_STATUS: Final[Mapping[tuple[str, ...], str]] = {ENTRIES: "billed_status", EXPENSES: "status"}
_FIXED: Final = "fixed_cost_for_project"
_MILLIONTH: Final = Decimal("0.000001")


# -- what is billed --------------------------------------------------------------------------------


def check(store: Store, product: str, fields: Mapping[str, Any], invoice: str) -> None:
    """Refuse lines that another invoice bills; ``invoice`` is "" if new. Raises `ApiRefusal`."""
    for billable in _named(lines_of(fields)[1]):
        if _billed_by(store, product, billable) not in ("", invoice):
            raise ApiRefusal(400, FORBIDDEN, f"{billable[1]} is already invoiced.")


def renew(store: Store, product: str, end: End) -> None:
    """Update the entries of an invoice after it was written, voided or deleted."""
    collection = store.at(schemas(product).by_path[_INVOICES], ())
    index = collection.find(end[1])
    state = collection.state(index) if index is not None else {}
    live = index is not None and state.get("status") != "void"
    lines = lines_of(state)[1] if live else []
    now = list(_named(lines))
    before = store.thing(product, _place(_INVOICES, end[1]))
    rows: Any = before.get("things", [])
    for path, record_id in rows:
        billable = (tuple(path), str(record_id))
        if billable not in now:
            _mark(store, product, billable, None)
    for billable in now:
        _mark(store, product, billable, state)
    projects = {str(line.get("project_id") or "") for line in lines} - {""}
    for project in projects | set(before.get("projects", [])):
        place = _place(_PROJECTS, project)
        invoices: set[str] = set(store.thing(product, place).get("invoices", []))
        invoices = invoices | {end[1]} if project in projects else invoices - {end[1]}
        store.keep_thing(product, place, {"invoices": sorted(invoices)})
    if now or projects or before:
        kept = {"things": [[list(path), each] for path, each in now], "projects": sorted(projects)}
        store.keep_thing(product, _place(_INVOICES, end[1]), kept)


def _named(lines: Iterable[Mapping[str, Any]]) -> Iterator[Billable]:
    for line in lines:
        entries = line.get("time_entry_ids")
        if isinstance(entries, str):
            entries = [each.strip() for each in entries.split(",") if each.strip()]
        for entry in entries if is_list(entries) else []:
            yield ENTRIES, str(entry)
        if line.get("expense_id"):
            yield EXPENSES, str(line["expense_id"])


def _mark(
    store: Store, product: str, billable: Billable, invoice: Mapping[str, Any] | None
) -> None:
    found = _find(store, product, billable)
    if found is None:
        return
    collection, index = found
    number = "" if invoice is None else str(invoice.get("invoice_number", ""))
    billed = "" if invoice is None else str(invoice["invoice_id"])
    state = collection.state(index)
    open_word = _open_word(billable[0], state.get("is_billable"))
    changed = {
        _STATUS[billable[0]]: "invoiced" if billed else open_word,
        "invoice_id": billed,
        "invoice_number": number,
    }
    collection.change(index, {name: each for name, each in changed.items() if name in state})
    store.keep_thing(product, _place(*billable), {"invoice": billed})


def _open_word(path: tuple[str, ...], billable: Any) -> str:
    return "unbilled" if billable is True or path == ENTRIES else "non-billable"


# -- writes of billable records -----------------------------------------------------------


def prepare(
    store: Store,
    schema: CollectionSchema,
    collection: Collection,
    fields: dict[str, Any],
    index: int | None,
) -> None:
    """Check and complete a write of a time entry or an expense. Raises `ApiRefusal`."""
    word = _STATUS.get(schema.path)
    if word is None:
        return
    fields.pop(word, None)
    state = collection.state(index) if index is not None else {}
    billed = index is not None and _billed_by(
        store, schema.product, (schema.path, collection.id(index))
    )
    billable = fields.get("is_billable", state.get("is_billable"))
    if billed and schema.path == EXPENSES:
        customer = fields.get("customer_id")
        if customer and str(customer) != str(state.get("customer_id")):
            raise ApiRefusal(400, 5019, "Contact cannot be changed for an invoiced expense.")
        if billable is False:
            text = "You cannot make this expense non-billable: it is already invoiced."
            raise ApiRefusal(400, 5032, text)
    if not billed and (index is None or "is_billable" in fields):
        fields[word] = _open_word(schema.path, billable)
    project = fields.get("project_id") if index is None and schema.path == ENTRIES else ""
    of = _find(store, schema.product, (_PROJECTS, str(project))) if project else None
    if of is not None:
        parent = of[0].state(of[1])
        for name in ("project_name", "customer_id", "customer_name"):
            fields[name] = parent.get(name, "")


def check_removal(store: Store, found: RecordRef) -> None:
    """Refuse to remove an expense that was invoiced. Raises `ApiRefusal`."""
    path = found.schema.path
    if path == EXPENSES and _billed_by(store, found.schema.product, (path, found.id)):
        raise ApiRefusal(400, 5001, "Expenses that were converted to an invoice cannot be deleted.")


# -- what is unbilled ------------------------------------------------------------------------------


def unbilled(store: Store, product: str, project_id: str) -> tuple[dict[str, Any], list[Any]]:
    """A project, and the lines of an invoice for everything unbilled in it.

    Raises `ApiRefusal` if the project does not exist or has nothing unbilled.
    """
    found = _find(store, product, (_PROJECTS, project_id))
    if found is None:
        raise ApiRefusal(404, 1002, "Project does not exist.")
    project = found[0].state(found[1])
    if project.get("billing_type") == _FIXED:
        rows = list(_fixed(store, product, project_id, project))
    else:
        rows = list(_hourly(store, product, project_id, project))
    rows += _expensed(store, product, project_id)
    if not rows:
        raise ApiRefusal(400, FORBIDDEN, "The project has nothing unbilled.")
    return project, [{"project_id": project_id, **row} for row in rows]


def _fixed(
    store: Store, product: str, project_id: str, project: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    left = exact(project.get("rate"))
    for invoice in store.thing(product, _place(_PROJECTS, project_id)).get("invoices", []):
        found = _find(store, product, (_INVOICES, str(invoice)))
        state = found[0].state(found[1]) if found is not None else {}
        for line in lines_of(state)[1]:
            if str(line.get("project_id")) == project_id and not line.get("expense_id"):
                left -= exact(line.get("item_total"))
    if left > 0:
        named = {"name": project.get("project_name", ""), "description": ""}
        yield {**named, "rate": money(left), "quantity": Decimal("1.0")}


def _hourly(
    store: Store, product: str, project_id: str, project: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """One line per task, per user, or for the whole project, with the entries that it bills."""
    kind = project.get("billing_type")
    by = {"based_on_task_hours": "task", "based_on_staff_hours": "user"}.get(str(kind), "project")
    groups: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for entry_id, entry in _open(store, product, ENTRIES, project_id):
        groups.setdefault(str(entry.get(f"{by}_id", "")), []).append((entry_id, entry))
    for key, entries in groups.items():
        hours = sum((_hours(entry) for _, entry in entries), Decimal(0))
        if hours > 0:
            yield {
                "name": entries[0][1].get(f"{by}_name") or project.get("project_name", ""),
                "description": "",
                "rate": plain(_rate(store, product, project_id, project, by, key)),
                "quantity": plain(hours),
                "time_entry_ids": [entry_id for entry_id, _ in entries],
            }


def _expensed(store: Store, product: str, project_id: str) -> Iterator[dict[str, Any]]:
    for expense_id, expense in _open(store, product, EXPENSES, project_id):
        amount = exact(expense.get("total")) or exact(expense.get("amount"))
        if expense.get("is_billable") is True and amount > 0:
            yield {
                "name": expense.get("account_name", ""),
                "description": expense.get("description", ""),
                "rate": plain(amount),
                "quantity": Decimal("1.0"),
                "expense_id": expense_id,
            }


def _open(
    store: Store, product: str, path: tuple[str, ...], project_id: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The billable records of a project that no invoice bills."""
    schema = schemas(product).by_path.get(path)
    collection = store.at(schema, ()) if schema is not None else None
    for index in collection.indexes() if collection is not None else ():
        assert collection is not None
        state, record_id = collection.state(index), collection.id(index)
        if str(state.get("project_id")) != project_id or state.get("is_billable") is False:
            continue
        if not _billed_by(store, product, (path, record_id)):
            yield record_id, state


def _hours(entry: Mapping[str, Any]) -> Decimal:
    minutes = _minutes(entry.get("log_time"))
    if not minutes:
        minutes = _minutes(entry.get("end_time")) - _minutes(entry.get("begin_time"))
    return (Decimal(max(0, minutes)) / 60).quantize(_MILLIONTH)


def _minutes(clock: Any) -> int:
    hours, _, minutes = str(clock or "").partition(":")
    if not hours.isdecimal() or not (minutes or "0").isdecimal():
        return 0
    return int(hours) * 60 + int(minutes or 0)


def _rate(
    store: Store, product: str, project_id: str, project: Mapping[str, Any], by: str, key: str
) -> Decimal:
    path = {"task": _TASKS, "user": _USERS}.get(by)
    schema = schemas(product).by_path.get(path) if path is not None else None
    rows: Any = project.get(f"{by}s")
    known = [each for each in rows if is_object(each)] if is_list(rows) else []
    if schema is not None:
        collection = store.at(schema, (project_id,))
        index = collection.find(key)
        known += [collection.state(index)] if index is not None else []
    rates = (exact(each.get("rate")) for each in known if str(each.get(f"{by}_id")) == key)
    return next((rate for rate in rates if rate), exact(project.get("rate")))


# -- invoices of billable records -----------------------------------------------------------


def _find(store: Store, product: str, billable: Billable) -> tuple[Collection, int] | None:
    schema = schemas(product).by_path.get(billable[0])
    collection = store.at(schema, ()) if schema is not None else None
    index = collection.find(billable[1]) if collection is not None else None
    return (collection, index) if collection is not None and index is not None else None


def _billed_by(store: Store, product: str, billable: Billable) -> str:
    """The invoice that bills a record, or ""."""
    return str(store.thing(product, _place(*billable)).get("invoice", ""))


def _place(path: tuple[str, ...], record_id: str) -> str:
    return f"/{'/'.join(path)}/{record_id}/@billed"
