"""The scopes that a job needs."""

from __future__ import annotations

import pytest

from zoho_async.description import scopes_for
from zoho_async.errors import ConfigurationError


def test_reading_a_resource_needs_the_read_scope_only() -> None:
    assert scopes_for(["contacts", "books.invoices"]) == [
        "ZohoBooks.contacts.READ",
        "ZohoBooks.invoices.READ",
    ]


def test_an_operation_needs_its_scope() -> None:
    assert scopes_for(["Invoices.create"]) == ["ZohoBooks.invoices.CREATE"]


def test_a_product_needs_the_scopes_of_all_its_resources() -> None:
    reading, writing = scopes_for(["books"]), scopes_for(["books"], write=True)
    assert set(reading) < set(writing)
    assert all(scope.endswith(".READ") for scope in reading)


def test_an_unknown_name_raises_with_similar_names() -> None:
    with pytest.raises(ConfigurationError, match="did you mean invoices"):
        scopes_for(["invoces"])
    with pytest.raises(ConfigurationError, match=r"choose from .*books\.contacts"):
        scopes_for(["xyzzy"])
