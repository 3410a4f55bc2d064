"""Replies under another key than described, of another record, or without a described field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from zoho_async.books import (
    chart_of_accounts,
    contacts,
    currencies,
    invoices,
    payment_terms,
    vendor_payments,
)
from zoho_async.errors import DecodeError
from zoho_async.inventory import item_groups, sales_orders
from zoho_async.operation import ListOperation, Operation
from zoho_async.wire import AnotherRecord, Decoder, Unreadable, identity_of, raw_page

ID, OTHER = "460000000026049", "460000000026051"


def operation(module: Any, name: str) -> Operation[Any]:
    found: Operation[Any] = vars(module)[f"_{name.upper()}"]
    return found


def body(**members: Any) -> bytes:
    return json.dumps({"code": 0, "message": "success", **members}, separators=(",", ":")).encode()


def read(module: Any, name: str, decoder: Decoder, sent: bytes, *ids: str | int) -> Any:
    return decoder.value(operation(module, name), sent, ids)


# -- what is known --------------------------------------------------------------------------------


def test_an_account_is_read_under_its_recorded_key() -> None:
    decoder = Decoder()
    sent = body(chart_of_account={"account_id": ID, "account_name": "Sales"})
    account = read(chart_of_accounts, "get", decoder, sent, ID)
    assert (account.account_id, account.account_name, account.extra) == (ID, "Sales", {})
    assert dict(decoder.drift) == {}


def test_a_new_vendor_payment_is_read_under_its_recorded_key() -> None:
    decoder = Decoder()
    payment = read(
        vendor_payments, "create", decoder, body(vendorpayment={"payment_id": ID, "amount": 46.5})
    )
    assert (payment.payment_id, str(payment.amount)) == (ID, "46.5")
    assert dict(decoder.drift) == {}


# -- what is read under another key ---------------------------------------------------------------


@pytest.mark.parametrize("verb", ["get", "update"])
def test_a_record_under_another_key_is_taken_if_it_has_the_id_asked_for(verb: str) -> None:
    decoder = Decoder()
    sent = body(
        customer={"contact_id": ID, "contact_name": "Kim", "cf": 1},
        organization={"contact_id": OTHER},
        page_context={"page": 1},
    )
    contact = read(contacts, verb, decoder, sent, f" {ID} ")
    assert (contact.contact_id, contact.contact_name, contact.extra) == (ID, "Kim", {"cf": 1})
    assert dict(decoder.drift) == {("Contact", ""): 1}


def test_a_record_under_another_key_is_taken_if_its_id_is_a_number() -> None:
    assert (
        read(contacts, "get", Decoder(), body(it={"contact_id": int(ID)}), int(ID)).contact_id == ID
    )


@pytest.mark.parametrize(
    "members",
    [
        {"customer": {"contact_id": OTHER}},
        {"customer": {"contact_name": "Kim"}},
        {"customer": [{"contact_id": ID}]},
        {"one": {"contact_id": ID}, "two": {"contact_id": ID}},
        {"contact_id": ID},
        {"contact": "", "customer": {"contact_id": ID}},
        {},
    ],
)
def test_a_read_without_the_record_asked_for_is_unreadable(members: dict[str, Any]) -> None:
    with pytest.raises(Unreadable, match="contact"):
        read(contacts, "get", Decoder(), body(**members), ID)


def test_a_flat_record_under_a_key_is_found() -> None:
    decoder = Decoder()
    sent = body(exchange_rate={"exchange_rate_id": ID, "rate": 1.5})
    rate = read(currencies, "get_exchange_rate", decoder, sent, OTHER, ID)
    assert (rate.exchange_rate_id, str(rate.rate)) == (ID, "1.5")
    assert decoder.drift["CurrencyExchangeRate", ""] == 1
    with pytest.raises(Unreadable):
        read(currencies, "get_exchange_rate", decoder, sent, OTHER, OTHER)


@pytest.mark.parametrize("key", ["sales_order", "salesorder", "SalesOrder"])
def test_a_new_record_is_taken_under_its_resource_s_name(key: str) -> None:
    sent = body(**{key: {"salesorder_id": ID}, "contact": {"contact_id": OTHER}})
    assert read(sales_orders, "create", Decoder(), sent).salesorder_id == ID


def test_a_new_record_is_taken_under_a_listed_synonym() -> None:
    decoder = Decoder()
    group = read(item_groups, "create", decoder, body(group={"group_id": ID, "group_name": "Bag"}))
    assert (group.group_id, group.group_name) == (ID, "Bag")
    assert dict(decoder.drift) == {("ItemGroup", ""): 1}


@pytest.mark.parametrize(
    "members",
    [
        {"order": {"salesorder_id": ID}},
        {"sales_order": {"reference_number": "1"}},
        {"sales_order": {"salesorder_id": ""}},
        {"sales_order": {"salesorder_id": ID}, "salesOrder": {"salesorder_id": OTHER}},
        {"salesorder": ""},
        {},
    ],
)
def test_a_new_record_that_cannot_be_told_is_unreadable(members: dict[str, Any]) -> None:
    with pytest.raises(Unreadable, match="salesorder"):
        read(sales_orders, "create", Decoder(), body(**members))


def test_a_change_that_is_answered_by_a_message_alone_was_done() -> None:
    decoder = Decoder()
    contact = read(contacts, "update", decoder, body(), ID)
    assert (contact.contact_id, dict(decoder.drift)) == ("", {("Contact", ""): 1})


def test_a_change_that_is_answered_by_something_else_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        read(contacts, "update", Decoder(), body(customer={"contact_id": OTHER}), ID)


def test_strict_decoding_refuses_another_key() -> None:
    with pytest.raises(DecodeError, match="under 'customer'"):
        read(contacts, "get", Decoder(strict=True), body(customer={"contact_id": ID}), ID)


# -- an answer in which nothing described is found -------------------------------------------------


def test_a_flat_answer_without_a_described_field_is_drift() -> None:
    decoder = Decoder()
    result = read(invoices, "bulk_map_with_sales_order", decoder, body(results=[1]))
    assert result.extra == {"results": [1]}
    assert len(decoder.drift) == 1


def test_a_flat_answer_of_blanks_is_no_drift() -> None:
    decoder = Decoder()
    read(invoices, "bulk_map_with_sales_order", decoder, body(errors=""))
    assert dict(decoder.drift) == {}


# -- another record -------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["get", "update"])
def test_another_record_than_the_one_asked_for_is_refused(verb: str) -> None:
    with pytest.raises(AnotherRecord):
        read(contacts, verb, Decoder(), body(contact={"contact_id": OTHER}), ID)


def test_the_id_asked_for_may_be_a_number_or_a_word() -> None:
    sent = body(contact={"contact_id": ID})
    for asked in (int(ID), ID, f" {ID}", "primary"):
        assert read(contacts, "get", Decoder(), sent, asked).contact_id == ID


def test_an_operation_that_makes_another_record_is_not_compared() -> None:
    from zoho_async.books import projects

    sent = body(project={"project_id": OTHER})
    assert read(projects, "clone", Decoder(), sent, ID).project_id == OTHER


def test_a_code_that_a_change_replaces_is_not_compared() -> None:
    from zoho_async.billing import plans

    assert (
        read(plans, "update", Decoder(), body(plan={"plan_code": "200"}), "100").plan_code == "200"
    )


def test_the_id_of_a_decoded_record_is_told() -> None:
    get = operation(contacts, "get")
    assert identity_of(get, get.result(contact_id=ID)) == ID
    assert identity_of(get, get.result()) == ""


# -- lists ----------------------------------------------------------------------------------------

LIST: ListOperation[Any] = vars(contacts)["_LIST"]
CONTEXT = {"page": 1, "per_page": 200, "has_more_page": False}


def test_rows_under_another_key_are_no_empty_page() -> None:
    decoder = Decoder()
    for key in ("customers", "contact_persons"):
        sent = body(**{key: [{"contact_id": ID}]}, page_context=CONTEXT)
        with pytest.raises(Unreadable, match="other rows than 'contacts'"):
            decoder.page(LIST, sent)
        with pytest.raises(Unreadable, match="other rows than 'contacts'"):
            raw_page(LIST, sent)


def test_rows_under_the_same_word_spelled_otherwise_are_read() -> None:
    from zoho_async.books import customer_payments

    decoder = Decoder()
    listed: ListOperation[Any] = vars(customer_payments)["_LIST"]
    sent = body(customer_payments=[{"payment_id": ID}], page_context=CONTEXT)
    page = decoder.page(listed, sent)
    assert [row.payment_id for row in page.rows] == [ID]
    assert page.rows[0].extra == {}
    assert page.extra == {}
    assert dict(decoder.drift) == {("CustomerPayment", ""): 1}
    assert [bytes(row) for row in raw_page(listed, sent).rows] == [
        json.dumps({"payment_id": ID}, separators=(",", ":")).encode()
    ]


EMPTY: list[dict[str, Any]] = [
    {},
    {"contacts": []},
    {"contacts": ""},
    {"other": []},
    {"other": ["a"]},
]


@pytest.mark.parametrize("members", EMPTY)
def test_an_empty_page_stays_one(members: dict[str, Any]) -> None:
    sent = body(**members, page_context=CONTEXT)
    assert Decoder().page(LIST, sent).rows == []
    assert raw_page(LIST, sent).rows == []


NET_15 = {"payment_terms_id": "1", "payment_terms_label": "Net 15", "payment_terms": 15, "new": 1}


@pytest.mark.parametrize(
    "members",
    [
        {"data": {"payment_terms": [NET_15], "more": 1}},
        {"data": {"payment_terms": [NET_15]}, "page_context": {"has_more_page": False}},
        {"payment_terms": [NET_15]},
        {"data": None, "paymentterms": [NET_15]},
    ],
)
def test_rows_inside_an_object_of_the_envelope_are_read(members: dict[str, Any]) -> None:
    listed, sent = payment_terms._LIST, body(**members)
    page = Decoder().page(listed, sent)
    (row,) = page.rows
    assert (row.payment_terms_id, row.payment_terms_label, row.payment_terms) == ("1", "Net 15", 15)
    assert row.extra == {"new": 1}
    raw = raw_page(listed, sent)
    assert [json.loads(each) for each in raw.rows] == [NET_15]
    assert page.ids == raw.ids == ["1"]


@pytest.mark.parametrize("value", [{"payment_terms": []}, {"payment_terms": ""}, {}, "", None])
def test_an_object_without_rows_is_an_empty_page(value: Any) -> None:
    sent = body(data=value)
    assert Decoder().page(payment_terms._LIST, sent).rows == []
    assert raw_page(payment_terms._LIST, sent).rows == []


@pytest.mark.parametrize("value", [{"payment_terms": 3}, {"other": [NET_15]}, [NET_15]])
def test_an_object_with_other_rows_is_unreadable(value: Any) -> None:
    sent = body(data=value)
    with pytest.raises(Unreadable):
        Decoder().page(payment_terms._LIST, sent)
    with pytest.raises(Unreadable):
        raw_page(payment_terms._LIST, sent)


def test_damaged_text_inside_an_object_of_the_envelope_is_repaired() -> None:
    sent = body(data={"payment_terms": [NET_15]}).replace(b"Net 15", b"Net \xff")
    assert Decoder().page(payment_terms._LIST, sent).rows[0].payment_terms_label == "Net \ufffd"
    with pytest.raises(Unreadable):
        raw_page(payment_terms._LIST, sent[:-3])
