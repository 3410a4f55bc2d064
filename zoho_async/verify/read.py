"""Read from Zoho what a verification needs: reports, totals, and the records that disagree.

Every method makes the calls that its docstring names, in the bulk lane. A report or a list that
Zoho refuses, or fails to answer (HTTP 5xx), is not an error of the verification: `ReportRefused`
says why it cannot be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.description import OperationFacts
from zoho_async.errors import (
    InvalidRequest,
    NotAuthorized,
    NotFound,
    ReplyError,
    ReportMismatch,
    ServerError,
    UnreadableReply,
)
from zoho_async.export import fetch
from zoho_async.export.catalog import list_operation, row_facts, single_reads
from zoho_async.paging import Pager
from zoho_async.paging.filters import FILTER
from zoho_async.reports import Period, ReportTree
from zoho_async.session import Session
from zoho_async.verify.compare import ZERO, Age, Aged, Line, OpenDocument, age_of, amount, line_of
from zoho_async.verify.mirror import text_of_json
from zoho_async.verify.tables import PARTIES, TRANSACTIONS, AgedList, document_of
from zoho_async.wire import Record
from zoho_async.wire.page import RowTimes, moment, times_of

_RAWS: Final = decoder_of(dict[str, msgspec.Raw])
_REFUSALS: Final = (
    *(InvalidRequest, NotAuthorized, NotFound),
    *(ReportMismatch, ServerError, UnreadableReply),
)

#: The resources of the types of transactions, as Zoho names them in its lists of transactions.
KINDS: Final = {
    "invoice": "invoices",
    "bill": "bills",
    "bills": "bills",
    "credit_note": "credit_notes",
    "credit_notes": "credit_notes",
    "creditnote": "credit_notes",
    "vendor_credit": "vendor_credits",
    "vendor_credits": "vendor_credits",
    "customer_payment": "customer_payments",
    "vendor_payment": "vendor_payments",
    "expense": "expenses",
    "journal": "journals",
    "sales_receipt": "sales_receipts",
}


class ReportRefused(Exception):
    """Zoho gave no usable answer for a report or a list. The text says which, and why."""


class Reader:
    """Reads for one verification. ``calls`` were made."""

    def __init__(self, zoho: Session) -> None:
        self.zoho: Final = zoho.with_options(lane="bulk", max_wait=None)
        self.calls = 0

    async def organization(self) -> Mapping[str, str]:
        """The organization's row: name, currency and time zone; empty if it is not readable."""
        self.calls += 1
        try:
            rows = [_texts(row) async for row in self.zoho.books.organizations.list().raw()]
        except ReplyError:
            return {}
        own = str(self.zoho.organization)
        found = [row for row in rows if row.get("organization_id") == own]
        return found[0] if found else {}

    # -- reports --------------------------------------------------------------------------------

    async def trial_balance(self, period: Period) -> dict[str, tuple[str, Decimal]]:
        """The name and the net debit of each account in a period. One call."""
        self.calls += 1
        try:
            tree: ReportTree = await self.zoho.books.reports.trial_balance(
                from_date=period.first, to_date=period.last, basis="accrual"
            )
        except _REFUSALS as refusal:
            raise ReportRefused(f"trial balance: {refusal}") from None
        found: dict[str, tuple[str, Decimal]] = {}
        for line in tree.lines():
            one = line.section
            if one.account_id:
                name, before = found.get(one.account_id, (one.name, ZERO))
                net = (one.debit or ZERO) - (one.credit or ZERO)
                found[one.account_id] = name, before + net
        return found

    async def aging(self, party: AgedList) -> dict[str, Aged]:
        """Today's open balances of each customer or vendor. One call per page."""
        reports = self.zoho.books.reports
        pager: Pager[Any]
        if party.resource == PARTIES[0].resource:
            pager = reports.ar_aging_summary(include_credit_notes=False)
        else:
            pager = reports.ap_aging_summary(include_vendor_credit_notes=False)
        found: dict[str, Aged] = {}
        rows = await self._rows(pager, party.title)
        # A server that ignores page numbers sends the same rows again.
        for row in {tuple(row.items()): row for row in rows}.values():
            if identity := row.get("id", ""):
                foreign = row.get("fcy_total", "")
                if not foreign:
                    raise ReportRefused(f"{party.title}: it has no amounts in contacts' currencies")
                before = found.get(identity, Aged(name="", base=ZERO, foreign=ZERO))
                found[identity] = Aged(
                    name=row.get("name", ""),
                    base=before.base + amount(row.get("total", "")),
                    foreign=before.foreign + amount(foreign),
                )
        return found

    async def stock(self) -> dict[str, Decimal]:
        """The quantity of each item in the inventory summary. One call per page."""
        pager = self.zoho.books.reports.inventory_summary()
        return {
            row["item_id"]: amount(row.get("quantity_available", ""))
            for row in await self._rows(pager, "inventory summary")
            if row.get("item_id")
        }

    # -- lists ----------------------------------------------------------------------------------

    async def total(self, facts: OperationFacts, views: tuple[str, ...]) -> int | None:
        """The number of rows that Zoho counts. One call per view; None if Zoho does not count."""
        total = 0
        for value in views:
            self.calls += 1
            try:
                page = await fetch.page_of(self.zoho, facts, _view(value), 1)
            except _REFUSALS as refusal:
                raise ReportRefused(f"{facts.resource}: {refusal}") from None
            count = len(page.rows) if page.total is None and page.has_more is False else page.total
            if count is None:
                return None
            total += count
        return total

    async def ids(self, facts: OperationFacts, views: tuple[str, ...]) -> dict[str, RowTimes]:
        """The times of every row of a list, by id. One call per page."""
        found: dict[str, RowTimes] = {}
        for value in views:
            pager = Pager(self.zoho, list_operation(facts), query=_view(value))
            try:
                async with pager.raw_pages() as pages:
                    async for page in pages:
                        self.calls += 1
                        for identity, row in zip(page.ids, page.rows, strict=True):
                            found[identity] = times_of(row)
            except _REFUSALS as refusal:
                raise ReportRefused(f"{facts.resource}: {refusal}") from None
        return found

    async def lines(self, account: str) -> list[Line]:
        """The transactions of an account, asked for as an export does. One call per page."""
        pager = self.zoho.books.chart_of_accounts.list_transactions(account_id=account)
        rows = await self._rows(pager, TRANSACTIONS)
        return [line_of({**row, "account_id": account}) for row in rows]

    async def documents(
        self, party: AgedList, identity: str
    ) -> dict[str, tuple[OpenDocument, float | None]]:
        """The documents of a customer or vendor, and when they changed. One call per page."""
        facts = row_facts()[party.resource]
        query = {party.contact: identity}
        pager: Pager[Record] = Pager(self.zoho, list_operation(facts), query=query)
        found: dict[str, tuple[OpenDocument, float | None]] = {}
        for row in await self._rows(pager, party.resource):
            one = document_of(party, row)
            if one.party == identity:  # Zoho may ignore the filter
                found[one.id] = one, moment(row.get("last_modified_time", ""))
        return found

    async def document(
        self, party: AgedList, identity: str
    ) -> tuple[OpenDocument, float | None] | None:
        """A single document and when it changed; None if it does not exist. One call."""
        self.calls += 1
        reading = single_reads()[party.resource]
        try:
            row = await fetch.record_by_id(self.zoho, reading, identity, party.id)
        except _REFUSALS as refusal:
            raise ReportRefused(f"{party.resource}: {refusal}") from None
        if row is None:
            return None
        if not row:
            raise ReportRefused(f"{party.resource}: Zoho's reply has no record {identity}")
        texts = _texts(row)
        return document_of(party, texts), moment(texts.get("last_modified_time", ""))

    async def age(self, resource: str, identity: str, read_at: float) -> Age:
        """Whether a record changed after ``read_at``. One call, or none if it cannot be read."""
        reading = single_reads().get(resource)
        if reading is None or not identity:
            return "unknown"
        self.calls += 1
        try:
            times = await fetch.times_by_id(self.zoho, reading, identity)
        except _REFUSALS:
            return "unknown"
        return "gone" if times is None else age_of(times.modified, read_at)

    async def _rows(self, pager: Pager[Any], name: str) -> list[dict[str, str]]:
        found: list[dict[str, str]] = []
        try:
            async with pager.raw_pages() as pages:
                async for page in pages:
                    self.calls += 1
                    found += map(_texts, page.rows)
        except _REFUSALS as refusal:
            raise ReportRefused(f"{name}: {refusal}") from None
        return found


def _view(value: str) -> dict[str, object]:
    return {FILTER: value} if value else {}


def _texts(row: bytes) -> dict[str, str]:
    """The plain fields of a row as text."""
    return {name: text_of_json(raw) for name, raw in _RAWS.decode(row).items()}
