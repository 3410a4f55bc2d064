"""The least scopes for a job.

Zoho's scopes are per product, module and kind of access (``ZohoBooks.invoices.READ``); which one an
operation needs stands in the description. A job is named by what it touches: a product, a resource
or a single operation.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

from zoho_async import description
from zoho_async.description import Endpoint
from zoho_async.errors import ConfigurationError
from zoho_async.operation import PRODUCTS

#: What it takes to list the organizations of a user.
ORGANIZATIONS: Final = "ZohoBooks.settings.READ"

_DEFAULT_PRODUCT: Final = "books"


def scopes_for(names: Iterable[str], *, write: bool = False) -> list[str]:
    """The scopes that ``names`` need, sorted, each once.

    A name is a product (``books``), a resource (``books.invoices``; ``books.`` may be omitted) or
    an operation (``invoices.create``). Of products and resources only the lists and records
    themselves are counted (``list`` and ``get``), with ``write`` every operation. Raises
    `ConfigurationError` for a name that is none of these, with those that look like it.
    """
    operations = [each for product in PRODUCTS for each in description.operations(product)]
    found: set[str] = set()
    for name in names:
        wanted = _named(name.strip().lower(), operations)
        if len(wanted) > 1 and not write:
            wanted = _reading(wanted)
        found.update(scope for operation in wanted for scope in operation.scope.split(","))
    return sorted(scope for scope in found if scope)


def _reading(operations: Iterable[Endpoint]) -> list[Endpoint]:
    """What reads the rows of each resource; all that reads where a resource has neither."""
    by_resource: dict[str, list[Endpoint]] = {}
    for operation in operations:
        if operation.method == "GET":
            by_resource.setdefault(operation.resource, []).append(operation)
    chosen: list[Endpoint] = []
    for each in by_resource.values():
        rows = [one for one in each if one.name.rpartition(".")[2] in ("list", "get")]
        chosen.extend(rows or each)
    return chosen


def _named(name: str, operations: Iterable[Endpoint]) -> list[Endpoint]:
    found = [
        each
        for each in operations
        if name == each.product or _is(each.resource, name) or _is(each.name, name)
    ]
    if not found:
        known = sorted({each.resource for each in operations})
        short = [each.removeprefix(f"{_DEFAULT_PRODUCT}.") for each in known]
        near = difflib.get_close_matches(name, [*short, *known], n=3)
        advice = f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(known)}"
        raise ConfigurationError(f"no product, resource or operation is called {name!r}; {advice}")
    return found


def _is(full: str, name: str) -> bool:
    return name.lower() in (full, full.removeprefix(f"{_DEFAULT_PRODUCT}."))
