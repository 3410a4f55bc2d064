"""What lists leave out by default, and which filters cancel others. Data, with its evidence.

Most lists answer that they applied ``Status.All`` if no ``filter_by`` is sent; they need no row
here. A reader of every record compares ``page_context.applied_filter`` with ``*.All``, so that a
list which is missing here is noticed.

``confidence`` is H for recorded or officially stated behavior, and M for what one independent
client measured or one official example shows.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec


class ListDefault(msgspec.Struct, frozen=True, kw_only=True):
    """A list whose default leaves records out.

    ``every`` is the value of ``filter_by`` that shows all of them. Without it, ``further``
    are values that show what the default leaves out: each is another read, merged by id.
    ``cancelled`` are filters that ``filter_by`` cancels.
    """

    product: str
    path: str
    leaves_out: str
    every: str = ""
    further: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()
    evidence: str
    confidence: Literal["H", "M"]

    @property
    def values(self) -> tuple[str, ...]:
        """The values of ``filter_by`` that show what the default leaves out."""
        return (self.every,) if self.every else self.further


LIST_DEFAULTS: Final = (
    ListDefault(
        product="books",
        path="/chartofaccounts",
        leaves_out="inactive accounts",
        every="AccountType.All",
        evidence="recorded replies (2026-06) apply AccountType.Active; a client asks for All",
        confidence="H",
    ),
    ListDefault(
        product="books",
        path="/settings/taxes",
        leaves_out="inactive taxes",
        every="Taxes.All",
        evidence=(
            "recorded replies (2026-06) apply Taxes.Active, an official example Status.All; "
            "the value is by analogy"
        ),
        confidence="M",
    ),
    ListDefault(
        product="inventory",
        path="/replenishments/tasks",
        leaves_out="tasks that are not pending",
        every="Status.All",
        evidence="an official example applies Status.Pending",
        confidence="H",
    ),
    ListDefault(
        product="books",
        path="/banktransactions",
        leaves_out="uncategorized transactions",
        further=("Status.Uncategorized",),
        cancelled=("date", "date_start", "date_end", "date_before", "date_after"),
        evidence="measured by a client (2026-08): Status.All lacks them, and dates are ignored",
        confidence="M",
    ),
    ListDefault(
        product="books",
        path="/invoices",
        leaves_out="debit notes",
        further=("Type.DebitNote",),
        cancelled=("date_start", "date_end"),
        evidence="official text: debit notes have their own filter; dates seen live (2026-09)",
        confidence="H",
    ),
)
_BY_PATH: Final = {(one.product, one.path): one for one in LIST_DEFAULTS}


def default_of(product: str, path: str) -> ListDefault | None:
    """What the list at ``path`` leaves out by default; None if nothing is known."""
    return _BY_PATH.get((product, path))


def shows_all(applied: str) -> bool:
    """Whether ``applied`` is a filter that hides nothing, such as ``Status.All``."""
    return applied.rpartition(".")[2].casefold() == "all"
