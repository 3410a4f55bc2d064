"""A ledger on paper, and a server that answers profit and loss from it.

The judge adds up the postings in Python; nothing here knows the tables of the package.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from aiohttp import web
from pytest_aiohttp.plugin import AiohttpServer

from tests.support.answering_server import AnsweringServer

Node = dict[str, object]


@dataclass(frozen=True)
class Posting:
    """An amount on one account. ``section`` is one of `SECTIONS`."""

    day: date
    section: str
    account_id: str
    name: str
    amount: Decimal


#: The sections, and the sign with which each counts in the result.
SECTIONS = {"Operating Income": 1, "Cost of Goods Sold": -1, "Non Operating Income": 1}


@dataclass
class Paper:
    """Postings, and the periods that were asked for, in order."""

    postings: list[Posting] = field(default_factory=list[Posting])
    asked: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def post(self, day: str, section: str, account_id: str, amount: str, name: str = "") -> None:
        self.postings.append(
            Posting(
                date.fromisoformat(day),
                section,
                account_id,
                name or f"Account {account_id}",
                Decimal(amount),
            )
        )

    def accounts(self, first: str, last: str) -> dict[tuple[str, str, str], Decimal]:
        """The sum of each account of a section, by section, id and name."""
        sums: dict[tuple[str, str, str], Decimal] = {}
        for one in self.postings:
            if date.fromisoformat(first) <= one.day <= date.fromisoformat(last):
                key = (one.section, one.account_id, one.name)
                sums[key] = sums.get(key, Decimal(0)) + one.amount
        return sums

    def profit(self, first: str, last: str) -> Decimal:
        sums = self.accounts(first, last)
        return sum((SECTIONS[key[0]] * one for key, one in sums.items()), Decimal(0))

    def reply(self, first: str, last: str, basis: str) -> str:
        """Zoho's reply as text, so that every amount is written as on paper."""
        sums = self.accounts(first, last)
        sections = [
            _node(
                name,
                sum((one for key, one in sums.items() if key[0] == name), Decimal(0)),
                [
                    _node(key[2], one, [], account_id=key[1])
                    for key, one in sums.items()
                    if key[0] == name
                ],
            )
            for name in SECTIONS
        ]
        root = _node("Net Profit/Loss", self.profit(first, last), sections)
        return (
            '{"code":0,"message":"success","profit_and_loss":[' + root + '],"page_context":'
            f'{{"applied_filter":"TransactionDate.CustomDate","from_date":"{first}",'
            f'"to_date":"{last}","report_basis":"{basis}"}}}}'
        )


def _node(name: str, total: Decimal, inner: Iterable[str], account_id: str = "") -> str:
    return (
        f'{{"name":"{name}","account_id":"{account_id}","total":{total},'
        f'"account_transactions":[{",".join(inner)}]}}'
    )


class PaperServer(AnsweringServer):
    """Answers every call with the report of ``paper``."""

    def __init__(self, paper: Paper) -> None:
        super().__init__()
        self.paper = paper
        self.answers = [self._report]

    @classmethod
    async def opened(cls, paper: Paper, start: AiohttpServer) -> PaperServer:
        server = cls(paper)
        await server.open(start)
        return server

    async def _report(self, request: web.Request) -> web.StreamResponse:
        query: Mapping[str, str] = request.query
        first, last = query["from_date"], query["to_date"]
        self.paper.asked.append((first, last))
        basis = "Cash" if query.get("cash_based") == "true" else "Accrual"
        text = self.paper.reply(first, last, basis)
        return web.Response(text=text, content_type="application/json")
