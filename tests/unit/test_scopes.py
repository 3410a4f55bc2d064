"""The least scopes for a job."""

from __future__ import annotations

import pytest

from zoho_async.description import scopes_for
from zoho_async.errors import ConfigurationError


def test_reading_a_resource_takes_reading_alone() -> None:
    assert scopes_for(["contacts", "books.invoices"]) == [
        "ZohoBooks.contacts.READ",
        "ZohoBooks.invoices.READ",
    ]


def test_an_operation_takes_its_own_scope() -> None:
    assert scopes_for(["Invoices.create"]) == ["ZohoBooks.invoices.CREATE"]


def test_a_product_takes_those_of_all_its_resources() -> None:
    reading, writing = scopes_for(["books"]), scopes_for(["books"], write=True)
    assert set(reading) < set(writing)
    assert all(scope.endswith(".READ") for scope in reading)


def test_what_does_not_exist_is_told_with_what_looks_like_it() -> None:
    with pytest.raises(ConfigurationError, match="did you mean invoices"):
        scopes_for(["invoces"])
    with pytest.raises(ConfigurationError, match=r"there are .*books\.contacts"):
        scopes_for(["xyzzy"])
