"""A discount is an amount or a share, and the sign tells which."""

from __future__ import annotations

from decimal import Decimal

import pytest

from zoho_async.books.types.invoices import Invoice, InvoiceInput
from zoho_async.books.types.items import Item
from zoho_async.operation import BOOKS, Operation
from zoho_async.wire import Decoder, Percentage, encode, query

INVOICE: Operation[Invoice] = Operation(
    name="books.invoices.get",
    product=BOOKS,
    method="GET",
    path="/invoices",
    result=Invoice,
    key="invoice",
)
ITEM: Operation[Item] = Operation(
    name="books.items.get", product=BOOKS, method="GET", path="/items", result=Item, key="item"
)


def test_a_share_and_an_amount_are_told_apart_in_one_reply() -> None:
    decoder = Decoder(strict=True)
    body = b'{"invoice":{"discount":"20.00%","line_items":[{"discount":7.50},{"discount":"5%"}]}}'
    invoice = decoder.value(INVOICE, body)
    assert invoice.discount == Percentage(Decimal("20.00"))
    assert str(invoice.discount) == "20.00%"
    assert invoice.line_items is not None
    assert [line.discount for line in invoice.line_items] == [
        Decimal("7.50"),
        Percentage(Decimal(5)),
    ]
    assert invoice.extra == {}


def test_a_field_named_a_percentage_is_a_number_with_or_without_its_sign() -> None:
    decoder = Decoder(strict=True)
    for sent in (b'"70%"', b'"70"', b"70", b'"70 %"'):
        assert decoder.value(ITEM, b'{"item":{"tax_percentage":%s}}' % sent).tax_percentage == 70
    assert not decoder.drift


def test_an_amount_never_takes_a_sign_for_percent() -> None:
    decoder = Decoder()
    item = decoder.value(ITEM, b'{"item":{"rate":"70%"}}')
    assert item.rate is None
    assert item.extra == {"rate": "70%"}
    assert decoder.drift == {("Item", "rate"): 1}


def test_what_is_no_percentage_stays_in_extra() -> None:
    decoder = Decoder()
    invoice = decoder.value(INVOICE, b'{"invoice":{"discount":"half%"}}')
    assert invoice.discount is None
    assert invoice.extra == {"discount": "half%"}


def test_a_share_is_sent_with_its_sign() -> None:
    given = InvoiceInput(discount=Percentage(Decimal("12.5")))
    assert encode(given) == b'{"discount":"12.5%"}'
    assert encode(InvoiceInput(discount=Percentage(5))) == b'{"discount":"5%"}'
    assert encode(InvoiceInput(discount=Decimal("190.00"))) == b'{"discount":190.00}'
    assert query({"discount": Percentage(Decimal("1E+1"))}) == {"discount": "10%"}


def test_a_share_that_came_can_be_sent_back() -> None:
    invoice = Decoder().value(INVOICE, b'{"invoice":{"discount":"20.00%"}}')
    assert encode(InvoiceInput.of(invoice)) == b'{"discount":"20.00%"}'


@pytest.mark.parametrize("text", ["12.5%", " 12.5 % ", "12.5 %"])
def test_a_percentage_is_read_as_people_write_it(text: str) -> None:
    assert Percentage.read(text) == Percentage(Decimal("12.5"))


@pytest.mark.parametrize("text", ["12.5", "", "%", "NaN%", "Infinity%", "a%"])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a percentage"):
        Percentage.read(text)


def test_a_float_is_no_percentage() -> None:
    with pytest.raises(TypeError, match="not exact"):
        Percentage(12.5)  # type: ignore[arg-type]  # what callers without a type checker do
