"""The examples of the documentation pages are sent, answered and decoded without loss.

They are used unchanged, with integer ids, blanks and percentages as text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args, get_origin

import msgspec
import pytest

from tests.conformance.arguments import members_of
from tests.conformance.functions import Function, by_call, functions
from tests.conformance.official import Described, operations
from tests.conformance.pages import (
    BILLING,
    INVOICE,
    SURFACE,
    Shared,
    billing_page,
    invoice_page,
    paths,
    surface,
)
from tests.conformance.proof import Proof, session
from tests.conformance.server import Server
from tests.conformance.tally import Tally
from zoho_async import Credentials

pytestmark = [
    pytest.mark.skipif(
        not INVOICE.exists() or not BILLING.exists(),
        reason="Zoho's documentation pages do not exist in ../shared/reference",
    ),
    #: The described replies confirm no filter.
    pytest.mark.filterwarnings("ignore::zoho_async.errors.UnconfirmedFilter"),
]

#: The resources of Invoice that no page describes, by their files in Books.
_BEHIND = {
    "currency",
    "expenses",
    "projects",
    "recurring-expenses",
    "tasks",
    "taxes",
    "time-entries",
    "users",
}
#: The current Books file of some of them, if it has another name.
_IN_BOOKS = {"tasks": ("projects",)}
_PAGES = {"invoice": invoice_page, "billing": billing_page}


def resources() -> list[tuple[str, str]]:
    """The operations of each page by the first word of their paths."""
    if not INVOICE.exists() or not BILLING.exists():
        return [("invoice", ""), ("billing", "")]
    return sorted({(product, _resource(path)) for product in _PAGES for path in paths(product)})


def _resource(path: str) -> str:
    return path.split("/")[1]


@pytest.mark.parametrize(("product", "resource"), resources())
async def test_examples_of_a_page_are_sent_and_decoded(
    product: str,
    resource: str,
    credentials: Credentials,
    record_property: Callable[[str, object], None],
) -> None:
    if not functions(product):
        pytest.skip(f"{product} has no functions yet")
    tally = Tally()
    async with Server() as server, session(credentials, server) as zoho:
        for each in (op for op in _PAGES[product]() if _resource(op.described.path) == resource):
            known = by_call(product).get(each.described.call, ())
            proofs = [Proof(each.described, function) for function in known]
            for proof in proofs:
                await proof.run(zoho, server)
            reachable = {name for function in known for name in _names(function)}
            unknown = each.arguments - reachable if known and "" not in reachable else ()
            tally.add(each.described.where, proofs, [f"has no argument {name}" for name in unknown])
    tally.report(f"{product}'s page", record_property)


def behind() -> list[str]:
    """The Books files of operations after the end of the Invoice page."""
    names = {each.file for each in surface()} if SURFACE.exists() else set()
    return sorted(names & _BEHIND)


@pytest.mark.parametrize("stem", behind())
async def test_operations_after_the_end_of_the_page_match_books(
    stem: str, credentials: Credentials, record_property: Callable[[str, object], None]
) -> None:
    if not functions("invoice"):
        pytest.skip("invoice has no functions yet")
    tally = Tally()
    async with Server() as server, session(credentials, server) as zoho:
        for shared in (each for each in surface() if each.file == stem):
            described = _described(shared)
            known = by_call("invoice").get(shared.call, ())
            proofs = [Proof(described, function) for function in known]
            for proof in proofs:
                await proof.run(zoho, server)
            tally.add(described.where, proofs)
    tally.report("invoice, unconfirmed", record_property)


@pytest.mark.skipif(not SURFACE.exists(), reason="the list of shared operations is not there")
def test_every_function_of_invoice_is_documented() -> None:
    known = {each.call for each in surface()} | {each.described.call for each in invoice_page()}
    strangers = [each.name for each in functions("invoice") if each.key not in known]
    assert not strangers, ", ".join(strangers)


def _described(shared: Shared) -> Described:
    """The Books description of an operation, with the parameters that Invoice shares."""
    for file in (shared.file, *_IN_BOOKS.get(shared.file, ())):
        for each in operations("books", file):
            if each.call == shared.call:
                own = [
                    parameter
                    for parameter in each.parameters
                    if parameter.place != "query" or parameter.name in shared.query
                ]
                scopes = {scope.replace("ZohoBooks.", "ZohoInvoice.") for scope in each.scopes}
                return msgspec.structs.replace(
                    each, product="invoice", scopes=frozenset(scopes), parameters=tuple(own)
                )
    raise LookupError(f"Books describes no {' '.join(shared.call)}")


def _names(function: Function) -> set[str]:
    """Zoho's names of all parameters of a function; "" if it takes any."""
    names: set[str] = set()
    for name, place in function.places.items():
        names.add(place.name)
        if place.where == "body":
            _add_names(function.types[name], names)
            if place.name == "":
                names.discard("")
    return names


def _add_names(annotation: Any, names: set[str]) -> None:
    for member in members_of(annotation):
        if isinstance(member, type) and issubclass(member, msgspec.Struct):
            for field in msgspec.structs.fields(member):
                names.add(field.encode_name)
                _add_names(field.type, names)
        elif get_origin(member) is not None:
            for each in get_args(member):
                _add_names(each, names)
