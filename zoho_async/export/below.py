"""Lists beyond the one that each resource has: further ones, and those that hang below a record.

A resource's own list is called ``list`` (`zoho_async.export.catalog`). Every other list is named by
what it lists: ``books.taxes.list_authorities`` is exported as ``books.taxes.authorities``. Some of
these stand on their own. The others need the id of another record, in their path or in a parameter
that must be given (``/invoices/{invoice_id}/comments``): they are *children*, and are exported
through the list that has the *parents*. That list is walked as if it were exported itself, and its
new and changed records are asked for their children.

Which list that is follows from the path: what stands before the id is the path of the parents'
list. Where it does not, the name of the parameter says it (`_PARENTS`).

A child's row is the row that Zoho sent, with two fields spliced in front: the parent's id under its
own name, where the row has none of that name, and `KEY`. The latter names the row in all of the
resource: the ids of children are not known to be unique among parents (a user works on several
projects), and some lists give none. It is the parent's id and the row's own, or the row's place.

What hangs below two records, or needs more than an id, is in `BEYOND`, each with its reason.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from zoho_async import description
from zoho_async.description import Field, OperationFacts
from zoho_async.export.catalog import exportable, single_reads
from zoho_async.operation import PRODUCTS

#: The field that names a child among all children of its kind.
KEY: Final = "_key"

#: By the parameter that takes a parent's id: the resource whose list has the parents.
_PARENTS: Final = {
    "account_id": "chart_of_accounts",
    "bill_ids": "bills",
    "composite_item_id": "composite_items",
    "item_id": "items",
    "module_name": "custom_modules",
    "tag_id": "reporting_tags",
}

#: Where a parent is not named by its id: the field of its row that names it.
_NAMED_BY: Final = {"module_name": "module_api_name"}

#: Lists that no export reads, and why.
BEYOND: Final = {
    "base_currency_adjustment.list_contacts": (
        "it calculates an adjustment that somebody is about to make, from a rate and a date"
    ),
    "bank_transactions.list_matching": (
        "it suggests what a transaction that has no category may match, and holds no records"
    ),
    "contacts.list_autobill_recurring_invoices": "it needs ids of cards, which no list gives",
    "items.list_details": "it is how --details reads the items",
    "replenishments.list_order_details": "it needs a kind of order besides an id",
}


class Child(msgspec.Struct, frozen=True, kw_only=True):
    """A list that needs the id of another record.

    ``facts`` are its own, ``parents`` those of the list that has the parents. The parent's field
    ``value`` goes into the parameter ``parameter``, which stands in the path or (``in_query``)
    behind it; rows get it as ``name``.
    """

    facts: OperationFacts
    parents: OperationFacts
    parameter: str
    value: str
    name: str
    in_query: bool


@functools.cache
def every() -> Mapping[str, OperationFacts]:
    """Every list that can be walked for an export, by the name of what is exported.

    For children that is the list of their parents, under the children's name.
    """
    walked = {name: _renamed(child.parents, name) for name, child in children().items()}
    return dict(sorted({**_standing(), **walked}.items()))


@functools.cache
def written() -> Mapping[str, OperationFacts]:
    """What the rows are that an export writes, by its name: those of children for children."""
    rows = {name: _as_written(child, name) for name, child in children().items()}
    return {**_standing(), **rows}


@functools.cache
def children() -> Mapping[str, Child]:
    """The lists that hang below records, by the name under which they are exported."""
    found: dict[str, Child] = {}
    for product in PRODUCTS:
        for facts in description.load(product).operations:
            if facts.answer == "list" and not facts.top_level and not is_beyond(facts):
                found[name_of(facts)] = _child(facts)
    return found


@functools.cache
def reads_of_parents() -> dict[str, OperationFacts]:
    """The read of a single parent, by the name of the children; for those that have one."""
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


def is_beyond(facts: OperationFacts) -> bool:
    """Whether no export reads this list; `BEYOND` says why."""
    return facts.name.partition(".")[2] in BEYOND


@functools.cache
def _standing() -> Mapping[str, OperationFacts]:
    """The lists that need no other record."""
    found = dict(exportable())
    for product in PRODUCTS:
        for facts in description.load(product).operations:
            name = name_of(facts)
            if facts.top_level and name not in found:
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
    lists = _standing()
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
