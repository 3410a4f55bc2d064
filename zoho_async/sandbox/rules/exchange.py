"""Currencies and exchange rates of documents.

Documented: a document in a foreign currency has an exchange rate, which a caller can set.

Assumed:

- A document whose ``currency_id`` names a currency has its code and symbol, and its rate if the
  caller sends no rate. A change that names the same currency keeps the document's rate.
- A payment without a rate has the rate of the first document that it pays, a refund that of the
  document that it refunds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from zoho_async.sandbox.api.context import RequestContext
from zoho_async.sandbox.records import currencies
from zoho_async.sandbox.rules.amounts import exact
from zoho_async.sandbox.rules.settlement import ApplicationLedger, End

_SHOWN: Final = ("currency_code", "currency_symbol")


def fill_currency(ask: RequestContext, fields: dict[str, Any], before: Mapping[str, Any]) -> None:
    """Fill in the facts of the currency that a document names.

    ``before`` is the document before the write, empty for a new one.
    """
    schema = ask.schemas.by_path.get(currencies.PATH)
    named = str(fields.get("currency_id") or "")
    if schema is None or not named:
        return
    known = ask.store.at(schema, ())
    index = known.find(named)
    if index is None:
        return
    currency = known.state(index)
    fields |= {name: currency[name] for name in _SHOWN if currency.get(name)}
    same = str(before.get("currency_id") or named) == named and exact(before.get("exchange_rate"))
    if not exact(fields.get("exchange_rate")) and not same:
        fields["exchange_rate"] = exact(currency.get("exchange_rate")) or Decimal(1)


def fill_rate(
    ledger: ApplicationLedger, fields: dict[str, Any], sources: Sequence[tuple[End, Decimal]]
) -> None:
    """Fill in the rate of the first of the documents that a payment or a refund is for."""
    if exact(fields.get("exchange_rate")) or not sources:
        return
    rate = exact(ledger.state(sources[0][0]).get("exchange_rate"))
    if rate not in (0, 1):
        fields["exchange_rate"] = rate
