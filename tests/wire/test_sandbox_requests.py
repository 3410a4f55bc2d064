"""How one request travels through the sandbox."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.support.plain_client import raw
from zoho_async.sandbox import Fault, Sandbox
from zoho_async.sandbox.api import router


@pytest.fixture
def visits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths for which the router was asked, in order."""
    asked: list[str] = []
    route = router.route

    def noted(product: str, method: str, parts: Sequence[str]) -> router.Route | None:
        asked.append(f"{method} /{'/'.join(parts)}")
        return route(product, method, parts)

    monkeypatch.setattr(router, "route", noted)
    return asked


async def test_a_request_visits_the_router_once(visits: list[str]) -> None:
    server = Sandbox(sizes={"invoices": 5, "contacts": 5})
    server.tokens.scope = "ZohoBooks.invoices.READ"  # a narrow scope: the operation is looked at
    async with raw(server) as zoho:
        listed = await zoho.get("/invoices", per_page="2")
        assert listed.status == 200
        assert visits == ["GET /invoices"]
        unknown = await zoho.get("/nothing-here")
        assert (unknown.status, unknown.code) == (404, 5)
        assert visits[1:] == ["GET /nothing-here"]
        server.faults.append(Fault(kind="shifted_rows"))
        assert (await zoho.get("/invoices", page="2", per_page="2")).status == 200
        assert visits[2:] == ["GET /invoices"]
