"""Which lists can be exported, and which of them a name means.

A resource is exported through its list, ``product.resource.list``, if the list needs no other
record and no required parameter. `children` are lists that need the id of another record. The
packed description has them all, so a list that a later description adds needs no change here.

Names are ``product.resource``, of Books if no product is named. Hyphens and capitals are accepted.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from zoho_async import description
from zoho_async.description import Field, OperationFacts, is_allowed
from zoho_async.export import report_catalog
from zoho_async.export.errors import UnknownFilter, UnknownResource
from zoho_async.export.incremental import asks_changes
from zoho_async.operation import PRODUCTS, ListOperation
from zoho_async.paging.filters import refuse_cancelled
from zoho_async.wire import Record

#: The endings of filters that compare a field otherwise than by equality.
COMPARISONS: Final = (
    *("_startswith", "_contains", "_start", "_end", "_before", "_after"),
    *("_less_than", "_less_equals", "_greater_than", "_greater_equals"),
)
#: Parameters that the export itself sets.
_OWN: Final = frozenset({"page", "per_page", "sort_column", "sort_order", "response_option"})


@functools.cache
def exportable() -> Mapping[str, OperationFacts]:
    """Return the list of each exportable resource, by ``product.resource``, sorted."""
    return exportable_of(facts for product in PRODUCTS for facts in description.reads(product))


def exportable_of(operations: Iterable[OperationFacts]) -> dict[str, OperationFacts]:
    """Return the lists among ``operations`` through which resources are exported."""
    lists = {
        facts.resource: facts
        for facts in operations
        if facts.name == f"{facts.resource}.list"
        and facts.top_level
        and not any(parameter.required for parameter in facts.query)
    }
    return dict(sorted(lists.items()))


def resolve(
    names: Sequence[str],
    known: Mapping[str, OperationFacts],
    *,
    filters: Iterable[str] = (),
    scopes: Collection[str] | None = None,
) -> list[OperationFacts]:
    """Return the lists that ``names`` mean, each once, in their order.

    Without names: every described list that takes ``filters`` and that ``scopes`` allow; if the
    scopes are not known, those of Books. An observed list (`description.Endpoint`) needs its name.
    Raises `UnknownResource` with similar names, and `UnknownFilter` if no list is left.
    """
    if names:
        lists = {facts.name: facts for name in names for facts in [_named(name, known)]}
        return list(lists.values())
    described = [facts for facts in known.values() if not facts.evidence]
    if scopes is None:
        meant = [facts for facts in described if facts.product == "books"]
    else:
        meant = [facts for facts in described if is_allowed(facts.scope, scopes)]
    taking = [facts for facts in meant if set(filters) <= taken_by(facts)]
    if meant and not taking:
        raise UnknownFilter(f"no list takes all of the filters {', '.join(filters)}")
    return taking


def _named(name: str, known: Mapping[str, OperationFacts]) -> OperationFacts:
    wanted = name.strip().lower().replace("-", "_")
    first, dot, _ = wanted.partition(".")
    full = wanted if dot and first in PRODUCTS else f"books.{wanted}"
    if full in known:
        return known[full]
    if full.split(".")[1] == _REPORTS:
        why = (
            "a report depends on its period; `zoho-async report NAME --from DATE --to DATE "
            "--table DESTINATION` writes it to a table"
        )
        raise UnknownResource(name, [], why)
    near = difflib.get_close_matches(full, known, n=3, cutoff=0.7)
    raise UnknownResource(name, [one.removeprefix("books.") for one in near])


def list_operation(facts: OperationFacts) -> ListOperation[Record]:
    """Return the list's operation for the pager. Rows are not decoded."""
    return ListOperation(
        name=facts.name,
        product=PRODUCTS[facts.product],
        path=facts.path,
        row=Record,
        key=facts.key,
        row_id=facts.row_id,
        scope=facts.scope,
        order=facts.order,
        paged=facts.paged,
        max_per_page=facts.max_per_page,
        totals=facts.totals,
        per_user=facts.per_user,
    )


def taken_by(facts: OperationFacts) -> set[str]:
    """Return the names of the filters that a list takes."""
    return {
        name
        for parameter in facts.query
        for name in (parameter.name, *parameter.variants)
        if name not in _OWN
    }


def check_filters(filters: Mapping[str, str], lists: Iterable[OperationFacts]) -> None:
    """Raise `UnknownFilter` for a name that looks misspelled, or `CancelledFilter`.

    A filter that the description lacks passes: the reply says whether Zoho took it.
    """
    for facts in lists:
        refuse_cancelled(facts.product, facts.path, filters)
        taken = taken_by(facts)
        for name in filters:
            if name not in taken and not _may_exist(name, facts):
                near = difflib.get_close_matches(name, taken, n=3, cutoff=0.6)
                advice = f"did you mean {' or '.join(near)}?" if near else _choices(taken)
                raise UnknownFilter(f"{facts.resource} has no filter {name!r}: {advice}")


def _may_exist(name: str, facts: OperationFacts) -> bool:
    """Whether a filter that is not described compares a field of the list's rows."""
    fields = taken_by(facts) | {field.name for field in facts.reply}
    return any(
        name == field + ending
        for field in fields
        for ending in ("", *COMPARISONS)
        if name.startswith(field)
    ) or name.startswith(("cf_", "custom_field"))


def check_since(lists: Iterable[OperationFacts]) -> None:
    """Raise `UnknownFilter` unless every list can be filtered by last modification."""
    unable = [facts.resource for facts in lists if not asks_changes(facts)]
    if unable:
        raise UnknownFilter(
            f"{', '.join(unable)} cannot be filtered by last modification: "
            "leave out --since, or these lists"
        )


def _choices(taken: set[str]) -> str:
    return f"it has {', '.join(sorted(taken))}" if taken else "it has no filters"


@functools.cache
def single_reads() -> Mapping[str, OperationFacts]:
    """Return the read of a single record, by the resource of each list that has one."""
    found: dict[str, OperationFacts] = {}
    for product in PRODUCTS:
        for facts in description.reads(product):
            listed = exportable().get(facts.resource)
            if listed is None or facts.name != f"{facts.resource}.get" or facts.method != "GET":
                continue
            if facts.path == f"{listed.path}/{{{listed.row_id}}}":
                found[facts.resource] = facts
    return found


#: The field that names a child among all children of its kind.
KEY: Final = "_key"

#: The resource whose list has the parents, by the parameter that takes a parent's id.
_PARENTS: Final = {
    "account_id": "chart_of_accounts",
    "bill_ids": "bills",
    "composite_item_id": "composite_items",
    "item_id": "items",
    "module_name": "custom_modules",
    "tag_id": "reporting_tags",
}

#: The field of a parent's row that names it, if that is not its id.
_NAMED_BY: Final = {"module_name": "module_api_name"}

#: The resource of reports. They are no lists: what they hold depends on the period.
_REPORTS: Final = "reports"

#: Lists that are not exported, with the reason.
EXCLUDED: Final = {
    "base_currency_adjustment.list_contacts": (
        "it calculates an adjustment that is about to be made, from a rate and a date"
    ),
    "bank_transactions.list_matching": (
        "it suggests what a transaction that has no category may match, and holds no records"
    ),
    "contacts.list_autobill_recurring_invoices": "it needs ids of cards, which no list gives",
    "items.list_details": "it is how --details reads the items",
    "replenishments.list_order_details": "it needs a kind of order in addition to an id",
}


class Child(msgspec.Struct, frozen=True, kw_only=True):
    """A list that needs the id of another record, its parent.

    ``facts`` describe the list, ``parents`` the list of its parents. The parent's field ``value``
    is sent as ``parameter``, in the path or (``in_query``) in the query. Rows get it as ``name``.
    """

    facts: OperationFacts
    parents: OperationFacts
    parameter: str
    value: str
    name: str
    in_query: bool


@functools.cache
def all_lists() -> Mapping[str, OperationFacts]:
    """Return every list that an export can read, by the name of the resource.

    For children that is the list of their parents, under the name of the children.
    """
    walked = {name: _renamed(child.parents, name) for name, child in children().items()}
    return dict(sorted({**_top_level_lists(), **walked}.items()))


@functools.cache
def row_facts() -> Mapping[str, OperationFacts]:
    """Return the description of the rows that an export writes, by the name of the resource."""
    rows = {name: _as_written(child, name) for name, child in children().items()}
    return {**_top_level_lists(), **rows}


def rows_of(name: str) -> OperationFacts | None:
    """Return the description of the rows of a resource, or of a report's table.

    None if there is no such resource.
    """
    return row_facts().get(name) or report_catalog.table_facts(name)


@functools.cache
def children() -> Mapping[str, Child]:
    """Return the child lists, by the name under which they are exported."""
    found: dict[str, Child] = {}
    for product in PRODUCTS:
        for facts in description.reads(product):
            if facts.answer == "list" and not facts.top_level and not is_excluded(facts):
                found[name_of(facts)] = _child(facts)
    return found


@functools.cache
def reads_of_parents() -> dict[str, OperationFacts]:
    """Return the read of a single parent, by the name of the children, if there is one."""
    reads = single_reads()
    return {
        name: reads[child.parents.resource]
        for name, child in children().items()
        if child.parents.resource in reads
    }


def name_of(facts: OperationFacts) -> str:
    """``books.invoices.comments`` for ``books.invoices.list_comments``."""
    function = facts.name.rpartition(".")[2]
    if function == "list":
        return facts.resource
    return f"{facts.resource}.{function.removeprefix('list_')}"


def is_excluded(facts: OperationFacts) -> bool:
    """Whether this list is not exported; `EXCLUDED` says why."""
    return facts.name.partition(".")[2] in EXCLUDED


@functools.cache
def _top_level_lists() -> Mapping[str, OperationFacts]:
    """Return the lists that need no other record."""
    found = dict(exportable())
    for product in PRODUCTS:
        for facts in description.reads(product):
            name = name_of(facts)
            if (
                facts.top_level
                and name not in found
                and facts.resource.partition(".")[2] != _REPORTS
            ):
                found[name] = _renamed(facts, name)
    return found


def _child(facts: OperationFacts) -> Child:
    in_path = re.findall(r"{(\w+)}", facts.path)
    (parameter,) = in_path or [one.name for one in facts.query if one.required]
    parents = _parents(facts, parameter, in_path=bool(in_path))
    value = _NAMED_BY.get(parameter, parents.row_id)
    return Child(
        facts=facts,
        parents=parents,
        parameter=parameter,
        value=value,
        name=parameter if value == facts.row_id else value,
        in_query=not in_path,
    )


def _parents(facts: OperationFacts, parameter: str, *, in_path: bool) -> OperationFacts:
    lists = _top_level_lists()
    above = facts.path.partition("/{")[0] if in_path else ""
    for one in lists.values():
        if one.product == facts.product and one.path == above:
            return one
    return lists[f"{facts.product}.{_PARENTS[parameter]}"]


def _renamed(facts: OperationFacts, name: str) -> OperationFacts:
    return msgspec.structs.replace(facts, name=f"{name}.list")


def _as_written(child: Child, name: str) -> OperationFacts:
    own = {field.name for field in child.facts.reply}
    front = [Field(name=KEY, kind="text")]
    if child.name not in own:
        front.append(Field(name=child.name, kind="id"))
    return msgspec.structs.replace(
        child.facts, name=f"{name}.list", row_id=KEY, reply=(*front, *child.facts.reply)
    )
