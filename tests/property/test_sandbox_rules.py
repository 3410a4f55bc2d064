"""Amounts balance after any write, application, refund, void or removal.

The tests draw calls on a store without HTTP. The model contains only what was requested and
granted. All sums are read from the sandbox's replies and compared with each other.
"""

from __future__ import annotations

import pytest

from tests.support.examples import examples
from tests.support.sandbox_machine import prove
from tests.support.settlement_machines import Bills, Books


class Inventory(Books):
    """Invoices of a product that is not written by hand."""

    product = "inventory"


@pytest.mark.parametrize("side", [Books, Bills, Inventory])
def test_the_sum_of_balances_is_invariant(side: type[Books]) -> None:
    prove(side, examples(40), 30)
