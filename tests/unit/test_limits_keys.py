"""One organization has one count, for all its names and all callers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aioresponses import aioresponses

from zoho_async import Credentials, Session
from zoho_async.clock import LoopClock
from zoho_async.errors import ConfigurationError, SessionClosed
from zoho_async.events import Event
from zoho_async.http.retry import Policy
from zoho_async.limits import Limits, MemoryLedger, SqliteLedger
from zoho_async.limits.keys import OrganizationNames, host_key, organization_key

pytestmark = pytest.mark.looptime

ANYTHING = re.compile(r"https://.*(/books|/inventory|/oauth).*", re.IGNORECASE)
OK = {"code": 0, "message": "success", "access_token": "1000.token", "expires_in": 3600}
ORGANIZATION = "10234695"
WINDOW = 60.0


@pytest.mark.parametrize(
    "url",
    [
        "https://www.zohoapis.com",
        "https://WWW.ZohoAPIs.com",
        "https://www.zohoapis.com:443",
        "https://www.zohoapis.com.",
        "https://www.zohoapis.com.:443/",
        "https://zohoapis.com",
        "https://books.zoho.com",
        "https://invoice.zoho.com/api",
    ],
)
def test_all_hosts_of_a_data_center_give_one_key(url: str) -> None:
    assert host_key(url) == "www.zohoapis.com"


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("https://books.zoho.com.au", "www.zohoapis.com.au"),
        ("https://books.zoho.com.cn", "www.zohoapis.com.cn"),
        ("https://books.zoho.eu", "www.zohoapis.eu"),
        ("https://books.zohocloud.ca", "www.zohoapis.ca"),
        ("https://notzoho.com", "notzoho.com"),
        ("https://zoho.com.example.org", "zoho.com.example.org"),
        ("https://BÜCHER.example", "xn--bcher-kva.example"),
        ("https://xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("https://proxy.example:8443", "proxy.example:8443"),
        ("http://127.0.0.1:80", "localhost"),
        ("http://localhost:8080", "localhost:8080"),
        ("http://[::1]:8080", "localhost:8080"),
        ("https://[2001:DB8:0::1]", "[2001:db8::1]"),
    ],
)
def test_all_spellings_of_a_host_give_one_key(url: str, key: str) -> None:
    assert host_key(url) == key


def test_leading_zeros_of_an_id_do_not_matter() -> None:
    assert organization_key("010234695") == organization_key("\uff110234695") == ORGANIZATION


@pytest.fixture
def arrivals(mocked: aioresponses, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record when API calls are sent, without token requests."""
    moments: list[float] = []

    def answer(url: object, **_: object) -> None:
        moments.append(asyncio.get_running_loop().time())

    mocked.post(re.compile(r"https://accounts\..*"), payload=OK, repeat=True)
    mocked.get(ANYTHING, payload=OK, repeat=True, callback=answer)
    return moments


def worst(arrivals: list[float]) -> int:
    return max(
        sum(1 for other in arrivals if start <= other < start + WINDOW) for start in arrivals
    )


class Callers:
    """Create sessions, and close them at the end."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self.ledger = ledger
        self.sessions: list[Session] = []

    def add(
        self, organization: str | None, url: str = "https://www.zohoapis.com", limit: int = 20
    ) -> Session:
        session = Session(
            Credentials("client", "secret", "refresh"),
            organization=organization,
            api_url=url,
            limits=Limits(limit=limit, burst=limit, in_flight=100),
            ledger=self.ledger,
            clock=LoopClock(),
            retry=Policy(base=0.0),
        )
        self.sessions.append(session)
        return session


@pytest.fixture
async def callers() -> AsyncIterator[Callers]:
    made = Callers(MemoryLedger())
    yield made
    for session in made.sessions:
        await session.aclose()


async def call(
    session: Session, times: int, path: str = "/contacts", product: str = "books"
) -> None:
    patient = session.with_options(max_wait=None)
    async with asyncio.TaskGroup() as group:
        for _ in range(times):
            group.create_task(patient.request("GET", "/contacts", product=product))


async def test_hosts_products_and_spellings_of_one_organization_share_its_limit(
    arrivals: list[float], callers: Callers
) -> None:
    one = callers.add(ORGANIZATION)
    others = [
        callers.add(ORGANIZATION, "https://zohoapis.com:443"),
        callers.add(ORGANIZATION, "https://WWW.zohoapis.com."),
        callers.add(f"0{ORGANIZATION}"),
    ]
    await asyncio.gather(
        call(one, 20),
        call(one, 20, product="inventory"),
        *(call(other, 20) for other in others),
    )
    assert len(arrivals) == 100
    assert worst(arrivals) == 20


@pytest.mark.parametrize("unnamed_first", [True, False])
async def test_unnamed_calls_count_with_the_only_named_organization(
    arrivals: list[float], callers: Callers, unnamed_first: bool
) -> None:
    one, other = (None, ORGANIZATION) if unnamed_first else (ORGANIZATION, None)
    first, second = callers.add(one), callers.add(other)
    await call(first, 15)
    await asyncio.gather(call(second, 30), call(first, 15))
    assert len(arrivals) == 60
    assert worst(arrivals) == 20


async def test_an_unnamed_call_among_several_organizations_is_refused(
    arrivals: list[float], callers: Callers
) -> None:
    for organization in ("1", "2"):
        await callers.add(organization).request("GET", "/contacts")
    with pytest.raises(ConfigurationError, match="names no organization"):
        await callers.add(None).request("GET", "/contacts")
    assert len(arrivals) == 2


def test_names_after_an_unnamed_call_are_counted_with_it() -> None:
    names = OrganizationNames("api/@me")
    assert names.unnamed() == "api/@me"
    assert names.named("api/1") == names.named("api/2") == names.unnamed()


async def test_shared_limits_need_a_named_organization(
    tmp_path: Path, arrivals: list[float]
) -> None:
    ledger = SqliteLedger(tmp_path / "limits.db")
    credentials = Credentials("client", "secret", "refresh")
    async with Session(credentials, ledger=ledger, clock=LoopClock()) as zoho:
        with pytest.raises(ConfigurationError, match=r"Session\(organization=\.\.\.\)"):
            await zoho.request("GET", "/contacts")
        assert not arrivals
        await zoho.organizations()  # the user's own
        await zoho.for_organization(ORGANIZATION).request("GET", "/contacts")
    await ledger.close()


async def test_the_stricter_limits_of_two_sessions_apply_from_the_start(
    arrivals: list[float], callers: Callers
) -> None:
    loose, strict = callers.add(ORGANIZATION, limit=90), callers.add(ORGANIZATION, limit=20)
    await asyncio.gather(call(loose, 60), call(strict, 30))
    assert worst(arrivals) == 20
    await strict.aclose()
    await asyncio.sleep(2 * WINDOW)
    del arrivals[:]
    await call(loose, 90)
    assert worst(arrivals) == 90


# -- closing, and observers -----------------------------------------------------------------------


@pytest.mark.parametrize("steps", range(12))
async def test_closing_ends_calls_that_wait_and_leaves_no_place(
    arrivals: list[float], mocked: aioresponses, callers: Callers, steps: int
) -> None:
    zoho = callers.add(ORGANIZATION, limit=2)
    await call(zoho, 2)
    patient = zoho.with_options(max_wait=None)
    waiting = [asyncio.create_task(patient.request("GET", "/contacts")) for _ in range(5)]
    for _ in range(steps):
        await asyncio.sleep(0)
    began = asyncio.get_running_loop().time()
    await zoho.aclose()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in ended] == [SessionClosed] * 5
    assert asyncio.get_running_loop().time() == began
    assert len(arrivals) == 2
    seen = await callers.add(ORGANIZATION, limit=2).snapshot()
    assert (seen.in_flight, seen.minute_used, sum(seen.waiting.values())) == (0, 2, 0)


async def test_closing_ends_a_wait_for_a_block_and_one_between_two_tries(
    mocked: aioresponses, callers: Callers
) -> None:
    mocked.post(re.compile(r"https://accounts\..*"), payload=OK, repeat=True)
    mocked.get(ANYTHING, status=429, payload={"code": 44, "message": "blocked"})
    mocked.get(ANYTHING, status=503, payload={"code": 1, "message": "later"}, repeat=True)
    blocked = callers.add("1")
    patient = blocked.with_options(max_wait=None, lane="bulk")
    waiting = asyncio.create_task(patient.request("GET", "/contacts"))
    await asyncio.sleep(5.0)
    assert not waiting.done()
    await blocked.aclose()
    with pytest.raises(SessionClosed):
        await waiting

    slow = Session(
        Credentials("client", "secret", "refresh"),
        organization="2",
        api_url="https://www.zohoapis.com",
        ledger=callers.ledger,
        clock=LoopClock(),
        retry=Policy(base=1000.0),
    )
    trying = asyncio.create_task(slow.request("GET", "/contacts"))
    await asyncio.sleep(0.1)
    assert not trying.done()
    await slow.aclose()
    with pytest.raises(SessionClosed):
        await trying


async def test_a_call_stays_cancelled_if_its_session_is_closed_at_once(
    arrivals: list[float], callers: Callers
) -> None:
    zoho = callers.add(ORGANIZATION, limit=1)
    await call(zoho, 1)
    waiting = asyncio.create_task(zoho.with_options(max_wait=None).request("GET", "/contacts"))
    await asyncio.sleep(1.0)
    waiting.cancel()
    await zoho.aclose()
    with pytest.raises((asyncio.CancelledError, SessionClosed)):
        await waiting
    assert waiting.cancelled()


async def test_an_observer_that_raises_hides_no_outcome(
    arrivals: list[float], mocked: aioresponses, callers: Callers
) -> None:
    problems: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, problem: problems.append(problem["message"])
    )

    def fails(event: Event) -> None:
        raise RuntimeError(type(event).__name__)

    async with Session(
        Credentials("client", "secret", "refresh"),
        organization=ORGANIZATION,
        limits=Limits(limit=1, burst=1),
        ledger=callers.ledger,
        clock=LoopClock(),
        observer=fails,
    ) as zoho:
        patient = zoho.with_options(max_wait=None)
        for _ in range(2):
            assert (await patient.request("GET", "/contacts"))["code"] == 0
        zoho.observe(Limits())  # type: ignore[arg-type] # any event at all
    reported = {problem.rpartition(" ")[2] for problem in problems}
    assert reported == {"Called", "Waited", "Refreshed", "Limits"}


async def test_an_observer_may_raise_base_exceptions(
    arrivals: list[float], callers: Callers
) -> None:
    def stops(event: Event) -> None:
        raise asyncio.CancelledError

    zoho = Session(
        Credentials("client", "secret", "refresh"),
        organization=ORGANIZATION,
        ledger=callers.ledger,
        clock=LoopClock(),
        observer=stops,
    )
    with pytest.raises(asyncio.CancelledError):
        zoho.observe(Limits())  # type: ignore[arg-type] # any event at all
    await zoho.aclose()
