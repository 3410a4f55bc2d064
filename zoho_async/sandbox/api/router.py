"""Find the operation of a request from the paths in the specifications.

A path is matched segment by segment in a tree. A fixed word wins over a name in braces
(``/users/me`` over ``/users/{user_id}``); if the word leads to no operation, the name is tried. An
id must be digits, as Zoho's ids are. The name of a custom module begins with ``cm_``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from zoho_async import description
from zoho_async.description import OperationFacts
from zoho_async.operation import PRODUCTS
from zoho_async.sandbox.api.undescribed import undescribed

#: The base path of each product. Billing's older one still works.
_BASES: Final = {
    **{product.base_path: name for name, product in PRODUCTS.items()},
    "/subscriptions/v1": "billing",
}
_HEADERS: Final = (
    "X-com-zoho-subscriptions-organizationid",
    "X-com-zoho-invoice-organizationid",
)
_PER_USER: Final = frozenset({("organizations",), ("organizations", "user")})


class Route(msgspec.Struct, frozen=True):
    """An operation, and the values of the names in its path template."""

    facts: OperationFacts
    ids: tuple[str, ...]


class Target(msgspec.Struct, frozen=True):
    """What a URL names: a product, the path below its base, and the operation there, if any."""

    product: str
    parts: tuple[str, ...]
    route: Route | None


class _Node:
    __slots__ = ("digits", "module", "operations", "wild", "words")

    def __init__(self) -> None:
        self.words: dict[str, _Node] = {}
        self.digits: _Node | None = None
        self.wild: _Node | None = None
        self.module: _Node | None = None
        self.operations: dict[str, OperationFacts] = {}


def resolve(method: str, path: str) -> Target | None:
    """Resolve a URL's path, or return None if it is below no product's base.

    A slash at the end of a path is ignored.
    """
    for base, product in _BASES.items():
        if path.startswith(f"{base}/"):
            parts = tuple(path.removeprefix(f"{base}/").rstrip("/").split("/"))
            return Target(product, parts, route(product, method, parts))
    return None


def organization_named(
    target: Target | None, query: Mapping[str, str], headers: Mapping[str, str]
) -> str | None:
    """Return the organization in the query or headers, or None."""
    if target is not None and target.parts in _PER_USER:
        return None
    named = (query.get("organization_id"), *(headers.get(name) for name in _HEADERS))
    return next((each for each in named if each), None)


def route(product: str, method: str, parts: Sequence[str]) -> Route | None:
    """Return the operation for a method and a split path, or None."""
    return _walk(_tree(product), method, tuple(parts), 0, ())


@functools.cache
def operations(product: str) -> Mapping[str, OperationFacts]:
    """Return a product's operations by name."""
    return {each.name: each for each in description.load(product).operations}


@functools.cache
def all_operations(product: str) -> Mapping[str, OperationFacts]:
    """Return a product's operations by name, with those that only live clients name."""
    return {**operations(product), **undescribed(product)}


@functools.cache
def _tree(product: str) -> _Node:
    root = _Node()
    for facts in all_operations(product).values():
        for path in (facts.path, *facts.alternatives):
            node = root
            for part in path.strip("/").split("/"):
                node = _child(node, part)
            node.operations.setdefault(facts.method, facts)
    return root


def _child(node: _Node, part: str) -> _Node:
    if not part.startswith("{"):
        return node.words.setdefault(part, _Node())
    if part == "{module_name}":
        node.module = node.module or _Node()
        return node.module
    if part.endswith("_id}"):
        node.digits = node.digits or _Node()
        return node.digits
    node.wild = node.wild or _Node()
    return node.wild


def _walk(
    node: _Node, method: str, parts: tuple[str, ...], at: int, ids: tuple[str, ...]
) -> Route | None:
    if at == len(parts):
        facts = node.operations.get(method)
        return None if facts is None else Route(facts, ids)
    part = parts[at]
    word = node.words.get(part)
    found = _walk(word, method, parts, at + 1, ids) if word is not None else None
    if found is not None or not part:
        return found
    named = (
        node.digits if part.isascii() and part.isdigit() else None,
        node.wild,
        node.module if part.startswith("cm_") else None,
    )
    for child in named:
        if child is not None:
            found = _walk(child, method, parts, at + 1, (*ids, part))
            if found is not None:
                return found
    return None
