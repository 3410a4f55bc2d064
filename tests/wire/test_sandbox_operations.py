"""Every operation of the four products is played: with valid arguments each one succeeds."""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
import pytest

from tests.conformance.functions import Function
from tests.conformance.official import files
from tests.wire.described_calls import arguments, described, known, path_ids
from zoho_async import Credentials, Limits, Session
from zoho_async.limits import MemoryLedger
from zoho_async.operation import PRODUCTS, ListOperation
from zoho_async.paging import Page
from zoho_async.sandbox import Sandbox
from zoho_async.sandbox.documents import File
from zoho_async.sandbox.homes import Home, homes
from zoho_async.sandbox.store import Store
from zoho_async.sandbox.world import World

ORGANIZATION: Final = "10234695"
_PATH_NAME: Final = re.compile(r"\{(\w+)\}")

pytestmark = pytest.mark.skipif(
    not files(), reason="Zoho's descriptions are not beside this clone (../shared/reference)"
)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(per_minute=10**6, per_day=10**6, in_flight=10**3) as running:
        yield running


@pytest.mark.parametrize("product", PRODUCTS)
async def test_every_operation_succeeds_with_valid_arguments(
    product: str, sandbox: Sandbox
) -> None:
    problems: list[str] = []
    credentials = Credentials(sandbox.client_id, sandbox.client_secret, sandbox.refresh_token)
    async with Session(
        credentials,
        organization=sandbox.organization,
        api_url=sandbox.url,
        accounts_url=sandbox.url,
        limits=Limits(limit=10**6, burst=10**6, in_flight=10**3),
        ledger=MemoryLedger(),
        strict=True,
    ) as zoho:
        count = 0
        for function in known(product):
            fresh(sandbox)
            count += 1
            problem = await outcome(zoho, sandbox, product, function)
            if problem:
                problems.append(f"{function.name}: {problem}")
    print(f"{product}: {count - len(problems)} of {count} operations succeed")
    assert not problems, f"{len(problems)} of {count}\n" + "\n".join(problems)


def fresh(sandbox: Sandbox) -> None:
    """Forget what the operation before wrote."""
    for name in sandbox._stores:
        sandbox._stores[name] = Store(World(sandbox.seed, name, {}))


async def outcome(zoho: Session, sandbox: Sandbox, product: str, function: Function) -> str:
    """What is wrong with the answer to a function that is called with valid arguments, or ""."""
    store = sandbox.store()

    def id_of(name: str) -> str | None:
        found = homes(product).for_name(name)
        return store.at(found[0], ()).id(0) if found else None

    given = arguments(function, product, id_of)
    ids = ids_in_path(store, product, function)
    given |= dict(zip(path_ids(function), ids, strict=True))
    if "attachment" in function.operation.path or "/receipt" in function.operation.path or "/image" in function.operation.path:
        path = function.operation.path
        for each in ids:
            path = _PATH_NAME.sub(each, path, count=1)
        store.keep_file(product, path, File("attachment", "a.pdf", "application/pdf", b"%PDF-1.4"))
    try:
        result: Any = function.call(zoho, **given)
        if inspect.isawaitable(result):
            result = await result
        elif hasattr(result, "__anext__"):
            result = await result.__anext__()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if isinstance(result, Page) and isinstance(function.operation, ListOperation) and not result.rows:
        return "" if homes(product).at(function.operation.path) is None else "no rows"
    return ""


def ids_in_path(store: Store, product: str, function: Function) -> list[str]:
    """Ids of records that are there, for every name in a function's path."""
    names = _PATH_NAME.findall(function.operation.path)
    if function.operation.path.startswith("/organizations/{organization_id}"):
        return [ORGANIZATION]
    ids: list[str] = []
    for name, home in zip(names, homes(product).along(function.operation.path), strict=True):
        ids.append(_id_at(store, home, ids) if home is not None else _free(name))
    return ids


def _id_at(store: Store, home: Home, above: list[str]) -> str:
    if home.parents > len(above):
        first = homes(home.product).along(store.template(home))[0]
        assert first is not None
        above = [store.at(first, ()).id(0)]
    return store.at(home, tuple(above[: home.parents])).id(0)


def _free(name: str) -> str:
    return "cm_debtor" if name == "module_name" else "460000000026049"
