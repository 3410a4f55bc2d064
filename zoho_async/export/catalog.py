"""Which lists can be exported, and which of them a person means.

A resource is exported through its list: ``product.resource.list``, answered without naming another
record and without a parameter that must be given. The packed description says which those are, so
a list that a later description brings can be exported without a change here.

Names are ``product.resource``; without a product it is Books. Lists that hang below a record, and
further ones, are in `zoho_async.export.below`. Hyphens and capitals are forgiven.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from zoho_async import description
from zoho_async.description import OperationFacts
from zoho_async.export.errors import UnknownFilter, UnknownResource
from zoho_async.export.modes import asks_changes
from zoho_async.operation import PRODUCTS, ListOperation
from zoho_async.wire import Record

#: Parameters that the walk itself sets.
_OWN: Final = frozenset({"page", "per_page", "sort_column", "sort_order", "response_option"})


@functools.cache
def exportable() -> Mapping[str, OperationFacts]:
    """The list of each resource that can be exported, by ``product.resource``, in that order."""
    return exportable_of(
        facts for product in PRODUCTS for facts in description.load(product).operations
    )


def exportable_of(operations: Iterable[OperationFacts]) -> dict[str, OperationFacts]:
    """Those of ``operations`` through which a resource is exported."""
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
    """The lists that ``names`` mean, each once, in their order.

    Without a name: every list that takes ``filters`` and that ``scopes`` allow; where these are not
    known, those of Books. Raises `UnknownResource` with the names that come near, and
    `UnknownFilter` where no list is left.
    """
    if names:
        lists = {facts.name: facts for name in names for facts in [_named(name, known)]}
        return list(lists.values())
    if scopes is None:
        meant = [facts for facts in known.values() if facts.product == "books"]
    else:
        meant = [facts for facts in known.values() if _is_allowed(facts.scope, scopes)]
    taking = [facts for facts in meant if set(filters) <= taken_by(facts)]
    if meant and not taking:
        raise UnknownFilter(f"no list takes all of the filters {', '.join(filters)}")
    return taking


def _is_allowed(scope: str, scopes: Collection[str]) -> bool:
    """Whether the token's ``scopes`` hold ``scope``, or one that holds it too."""
    service, _, rest = scope.lower().partition(".")
    module = rest.partition(".")[0]
    enough = {scope.lower(), f"{service}.{module}.all", f"{service}.fullaccess.all"}
    return not scope or not enough.isdisjoint(one.lower() for one in scopes)


def _named(name: str, known: Mapping[str, OperationFacts]) -> OperationFacts:
    wanted = name.strip().lower().replace("-", "_")
    first, dot, _ = wanted.partition(".")
    full = wanted if dot and first in PRODUCTS else f"books.{wanted}"
    if full in known:
        return known[full]
    near = difflib.get_close_matches(full, known, n=3, cutoff=0.7)
    raise UnknownResource(name, [one.removeprefix("books.") for one in near])


def list_operation(facts: OperationFacts) -> ListOperation[Record]:
    """The list as the pager wants it; its rows are never decoded here."""
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
    """The names of the filters that a list takes."""
    return {
        name
        for parameter in facts.query
        for name in (parameter.name, *parameter.variants)
        if name not in _OWN
    }


def check_filters(filters: Mapping[str, str], lists: Iterable[OperationFacts]) -> None:
    """Raise `UnknownFilter` unless every list takes every filter."""
    for facts in lists:
        taken = taken_by(facts)
        for name in filters:
            if name not in taken:
                near = difflib.get_close_matches(name, taken, n=3, cutoff=0.6)
                advice = f"did you mean {' or '.join(near)}?" if near else _choices(taken)
                raise UnknownFilter(f"{facts.resource} has no filter {name!r}: {advice}")


def check_since(lists: Iterable[OperationFacts]) -> None:
    """Raise `UnknownFilter` unless every list can be asked for what changed since a moment."""
    unable = [facts.resource for facts in lists if not asks_changes(facts)]
    if unable:
        raise UnknownFilter(
            f"{', '.join(unable)} cannot be asked for what changed since a moment: "
            "leave out --since, or these"
        )


def _choices(taken: set[str]) -> str:
    return f"it has {', '.join(sorted(taken))}" if taken else "it has none"


@functools.cache
def single_reads() -> Mapping[str, OperationFacts]:
    """The read of a single record, by the resource of each list that has one."""
    found: dict[str, OperationFacts] = {}
    for product in PRODUCTS:
        for facts in description.load(product).operations:
            listed = exportable().get(facts.resource)
            if listed is None or facts.name != f"{facts.resource}.get" or facts.method != "GET":
                continue
            if facts.path == f"{listed.path}/{{{listed.row_id}}}":
                found[facts.resource] = facts
    return found
