"""The documentation pages' own examples: sent and answered as they stand, and decoded without loss.

They are what the pages show, integer ids, blanks and percentages as text included.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, get_args, get_origin

import msgspec
import pytest

from tests.conformance.arguments import members_of
from tests.conformance.functions import Function, by_call, functions
from tests.conformance.pages import (
    BILLING,
    INVOICE,
    SURFACE,
    PageOperation,
    billing_page,
    invoice_page,
    surface,
)
from tests.conformance.proof import Proof, session
from tests.conformance.server import Server
from zoho_async import Credentials

pytestmark = pytest.mark.skipif(
    not INVOICE.exists() or not BILLING.exists(),
    reason="Zoho's documentation pages are not beside this clone (../shared/reference)",
)

_PAGES = {"invoice": invoice_page, "billing": billing_page}


def resources() -> list[tuple[str, str]]:
    """Each page's operations by the first name in their paths."""
    if not INVOICE.exists() or not BILLING.exists():
        return [("invoice", ""), ("billing", "")]
    found = {(product, _resource(each)) for product, page in _PAGES.items() for each in page()}
    return sorted(found)


def _resource(operation: PageOperation) -> str:
    return operation.described.path.split("/")[1]


@pytest.mark.parametrize(("product", "resource"), resources())
async def test_what_a_page_shows_is_sent_and_decoded(
    product: str,
    resource: str,
    credentials: Credentials,
    record_property: Callable[[str, object], None],
) -> None:
    if not functions(product):
        pytest.skip(f"{product} has no functions yet")
    report: Counter[str] = Counter()
    patches: Counter[str] = Counter()
    faults: list[str] = []
    async with Server() as server, session(credentials, server) as zoho:
        for each in (op for op in _PAGES[product]() if _resource(op) == resource):
            report["operations"] += 1
            known = by_call(product).get(each.described.call, ())
            problems = [] if known else ["has no function"]
            for function in known:
                proof = Proof(each.described, function)
                await proof.run(zoho, server)
                problems += [f"({function.name}): {fault}" for fault in proof.problems]
                patches += proof.patches.used
                report["typed"] += proof.losses.typed
                report["beyond"] += proof.losses.beyond
            reachable = {name for function in known for name in _names(function)}
            if known and "" not in reachable:
                problems += [f"no argument {name}" for name in each.arguments - reachable]
            report["proven"] += not problems
            faults += [f"{each.described.where} {problem}" for problem in problems]
    record_property("conformance", (f"{product}'s page", dict(report), dict(patches), []))
    assert not faults, f"{len(faults)} differences\n" + "\n".join(faults)


@pytest.mark.skipif(not SURFACE.exists(), reason="the list of shared operations is not there")
def test_invoice_has_the_operations_behind_the_end_of_its_page() -> None:
    if not functions("invoice"):
        pytest.skip("invoice has no functions yet")
    behind = {"currency", "expenses", "projects", "recurring-expenses", "tasks", "taxes"}
    behind |= {"time-entries", "users"}
    missing = [
        f"{method} {path}"
        for file, method, path in surface()
        if file.removesuffix(".yml") in behind and (method, path) not in by_call("invoice")
    ]
    assert not missing, ", ".join(missing)


def _names(function: Function) -> set[str]:
    """Zoho's names of everything that a function takes; "" where it takes anything."""
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
