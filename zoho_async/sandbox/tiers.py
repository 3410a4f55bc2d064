"""How far each operation is played.

Tier 1 is every operation: routing, validation, envelope, records that are made, read, changed and
removed. Tier 2 adds the rules of a module: balances, statuses that follow from them, conversions.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from zoho_async import description
from zoho_async.operation import PRODUCTS

Tier: TypeAlias = Literal[1, 2]

#: The operations that have rules of their own, by ``product.resource.verb``.
WITH_RULES: Final[frozenset[str]] = frozenset()


def tier(operation: str) -> Tier:
    """How far an operation is played. Raises `KeyError` for what is no operation's name."""
    product = operation.partition(".")[0]
    if product not in PRODUCTS:
        raise KeyError(operation)
    description.load(product).named(operation)
    return 2 if operation in WITH_RULES else 1


def counts() -> Mapping[str, Mapping[Tier, int]]:
    """How many operations of each product are played at each tier."""
    return {
        product: {
            1: sum(each.name not in WITH_RULES for each in description.operations(product)),
            2: sum(each.name in WITH_RULES for each in description.operations(product)),
        }
        for product in PRODUCTS
    }


@functools.cache
def tiers() -> Mapping[str, Tier]:
    """How far each operation of all products is played."""
    return {
        each.name: 2 if each.name in WITH_RULES else 1
        for product in PRODUCTS
        for each in description.operations(product)
    }
