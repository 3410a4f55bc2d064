"""Calls that are bound to a session."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import AsyncIterator
from functools import cached_property
from typing import Any
from unittest import mock

import pytest

from tests.support.answering_server import AnsweringServer, done
from zoho_async import Session
from zoho_async.books import contacts, invoices
from zoho_async.books.invoices import InvoicesResource
from zoho_async.description import operations
from zoho_async.operation import PRODUCTS
from zoho_async.resource import Resource


@pytest.fixture
async def zoho(server: AnsweringServer) -> AsyncIterator[Session]:
    async with server.session() as session:
        yield session


def product_class(product: str) -> type[Resource]:
    module = importlib.import_module(f"zoho_async.{product}")
    found: type[Resource] = getattr(module, f"Zoho{product.capitalize()}")
    return found


async def test_every_operation_of_every_product_is_bound(zoho: Session) -> None:
    for product in PRODUCTS:
        for endpoint in operations(product):
            resource = getattr(getattr(zoho, product), endpoint.module.rpartition(".")[2])
            call = getattr(resource, endpoint.function)
            function = getattr(importlib.import_module(endpoint.module), endpoint.function)
            assert (call.__func__, call.__self__) == (function, zoho)
            assert getattr(type(resource), endpoint.function) is function


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_product_has_a_property_per_resource(product: str) -> None:
    found = vars(product_class(product)).items()
    properties = {name for name, value in found if isinstance(value, cached_property)}
    assert properties == {each.resource.rpartition(".")[2] for each in operations(product)}


@pytest.mark.filterwarnings("ignore::zoho_async.errors.UnconfirmedFilter")
async def test_a_bound_call_is_the_functions(server: AnsweringServer, zoho: Session) -> None:
    server.answers = [done(invoice={"invoice_id": "1"})]
    assert (await zoho.books.invoices.get("1")).invoice_id == "1"
    server.answers = [done(invoices=[{"invoice_id": "2"}], page_context={})]
    assert [row.invoice_id async for row in zoho.books.invoices.list(status="sent")] == ["2"]
    assert server.last.query["status"] == "sent"
    assert inspect.signature(zoho.books.invoices.get) == inspect.signature(invoices.get).replace(
        parameters=list(inspect.signature(invoices.get).parameters.values())[1:]
    )
    assert zoho.books.invoices.get.__doc__ == invoices.get.__doc__
    assert InvoicesResource.get is invoices.get


async def test_a_view_has_its_own_calls(server: AnsweringServer, zoho: Session) -> None:
    other = zoho.for_organization("20345678")
    assert zoho.books is zoho.books is not other.books is other.books
    assert other.books.contacts is other.books.contacts is not zoho.books.contacts
    server.answers = [done(contact={"contact_id": "1"})]
    await other.with_options(lane="bulk").books.contacts.get("1")
    assert server.last.query["organization_id"] == "20345678"
    assert "20345678" in repr(other.books.contacts)


async def test_a_call_can_be_replaced_in_a_test(zoho: Session) -> None:
    answer: Any = object()
    replaced = mock.AsyncMock(return_value=answer)
    with mock.patch.object(zoho.books.contacts, "get", replaced):
        assert await zoho.books.contacts.get("1") is answer
    replaced.assert_awaited_once_with("1")
    assert zoho.books.contacts.get.__func__ is contacts.get  # type: ignore[attr-defined]
