"""Which lists can be exported, and which of them a person means.

A resource is exported through its list: ``product.resource.list``, answered without naming another
record and without a parameter that must be given. The packed description says which those are, so
a list that a later description brings can be exported without a change here.

Names are ``product.resource``; without a product it is Books. Hyphens and capitals are forgiven.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from zoho_async import description
from zoho_async.description import OperationFacts
from zoho_async.export.errors import UnknownFilter, UnknownResource
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


def resolve(names: Sequence[str], known: Mapping[str, OperationFacts]) -> list[OperationFacts]:
    """The lists that ``names`` mean, each once, in their order; those of Books without a name.

    Raises `UnknownResource` with the names that come near.
    """
    if not names:
        return [facts for facts in known.values() if facts.product == "books"]
    return list({facts.name: facts for name in names for facts in [_named(name, known)]}.values())


def _named(name: str, known: Mapping[str, OperationFacts]) -> OperationFacts:
    wanted = name.strip().lower().replace("-", "_")
    full = wanted if "." in wanted else f"books.{wanted}"
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


def check_filters(filters: Mapping[str, str], lists: Iterable[OperationFacts]) -> None:
    """Raise `UnknownFilter` unless every list takes every filter."""
    for facts in lists:
        taken = {
            name
            for parameter in facts.query
            for name in (parameter.name, *parameter.variants)
            if name not in _OWN
        }
        for name in filters:
            if name not in taken:
                near = difflib.get_close_matches(name, taken, n=3, cutoff=0.6)
                advice = f"did you mean {' or '.join(near)}?" if near else _choices(taken)
                raise UnknownFilter(f"{facts.resource} has no filter {name!r}: {advice}")


def _choices(taken: set[str]) -> str:
    return f"it has {', '.join(sorted(taken))}" if taken else "it has none"
