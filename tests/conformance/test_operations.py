"""Every described operation is called over loopback and checked against its description."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import pytest

from tests.conformance.case import JSON
from tests.conformance.functions import Function, broken, by_call, functions, products
from tests.conformance.official import Described, files, operations
from tests.conformance.proof import Proof, session
from tests.conformance.server import Server
from tests.conformance.tally import Tally
from zoho_async import Credentials, Session

_FILES = files()

pytestmark = [
    pytest.mark.skipif(
        not _FILES, reason="Zoho's descriptions do not exist in ../shared/reference"
    ),
    #: The described replies confirm no filter.
    pytest.mark.filterwarnings("ignore::zoho_async.errors.UnconfirmedFilter"),
]


@pytest.mark.parametrize(("product", "stem"), _FILES)
async def test_every_operation_matches_its_description(
    product: str,
    stem: str,
    credentials: Credentials,
    record_property: Callable[[str, object], None],
) -> None:
    described = operations(product, stem)
    known = by_call(product)
    if not any(each.call in known for each in described):
        pytest.skip(f"{product} has no function for {stem} yet")
    tally = Tally()
    async with Server() as server, session(credentials, server) as zoho:
        for each in described:
            tally.add(each.where, await _proofs(each, known.get(each.call, ()), zoho, server))
    tally.report(product, record_property)


async def _proofs(
    described: Described, candidates: tuple[Function, ...], zoho: Session, server: Server
) -> list[Proof]:
    """The proof of the function in a module that fits the description best."""
    others = frozenset(
        word
        for each in _with_call(described.product)[described.call]
        if each.file != described.file
        for word in (*_said_of_parameters(each), *_answered(each))
    )
    modules: dict[str, list[Proof]] = {}
    for function in candidates:
        proof = Proof(described, function, others)
        await proof.run(zoho, server)
        modules.setdefault(function.module, []).append(proof)
    return min(modules.values(), key=_faults, default=[])


@functools.cache
def _with_call(product: str) -> Mapping[tuple[str, str], Sequence[Described]]:
    """The operations of all files of ``product``, by their call."""
    found: dict[tuple[str, str], list[Described]] = {}
    for of, stem in _FILES:
        if of == product:
            for each in operations(product, stem):
                found.setdefault(each.call, []).append(each)
    return found


def _said_of_parameters(described: Described) -> Iterator[str]:
    for parameter in described.parameters:
        yield from re.findall(r"\w+", parameter.text)


def _answered(described: Described) -> Iterable[str]:
    """The keys of the envelope."""
    schema = described.document.follow(described.answers.get(JSON))
    return (schema.get("properties") or {}).keys()


def _faults(proofs: list[Proof]) -> int:
    return sum(len(proof.problems) for proof in proofs)


@pytest.mark.parametrize("product", products())
def test_every_module_can_be_imported(product: str) -> None:
    assert not broken(product)


@pytest.mark.parametrize("product", products())
def test_every_function_has_a_description(product: str) -> None:
    stems = [stem for of, stem in _FILES if of == product]
    if not stems or not functions(product):
        pytest.skip(f"{product} has no description in YAML: its pages are proven elsewhere")
    described = {each.call for stem in stems for each in operations(product, stem)}
    strangers = [each.name for each in functions(product) if each.key not in described]
    assert not strangers, ", ".join(strangers)
