"""The pytest plugin, in separate runs of pytest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCOPE = ("-o", "asyncio_default_fixture_loop_scope=function")

TESTS = """
import pytest
from zoho_async.books import contacts
from zoho_async.errors import ServerError
from zoho_async.sandbox import Fault

pytestmark = pytest.mark.MODE

@pytest.mark.zoho_sandbox(sizes={"contacts": 7})
async def test_a_session_reads_its_own_sandbox(zoho, zoho_sandbox):
    rows = [row async for row in contacts.list(zoho)]
    assert len(rows) == len(zoho_sandbox.truth("contacts")) == 7

async def test_every_test_has_a_fresh_one(zoho, zoho_sandbox):
    assert zoho_sandbox.calls == 0
    zoho_sandbox.faults.append(Fault(kind="status", status=503, times=None))
    with pytest.raises(ServerError):
        await zoho.request("GET", "/contacts")
    assert zoho_sandbox.calls == 4

@pytest.mark.zoho_sandbox(sizes={"contacts": 1}, speed=60)
class TestMarks:
    @pytest.mark.zoho_sandbox(sizes={"contacts": 2})
    async def test_the_nearest_mark_wins(self, zoho, zoho_sandbox):
        assert len(zoho_sandbox.truth("contacts")) == 2
        assert zoho_sandbox.clock.speed == 60
        assert zoho.limits.window == 1.0
"""

SYNCHRONOUS = """
import threading
import pytest
import requests
from zoho_async.sandbox import Fault

def client(sandbox, http):
    given = sandbox.environment()
    form = {"grant_type": "refresh_token", "client_id": given["ZOHO_CLIENT_ID"],
        "client_secret": given["ZOHO_CLIENT_SECRET"], "refresh_token": given["ZOHO_REFRESH_TOKEN"]}
    token = http.post(f"{sandbox.url}/oauth/v2/token", data=form).json()["access_token"]
    http.headers["Authorization"] = f"Zoho-oauthtoken {token}"

@pytest.mark.zoho_sandbox(sizes={"contacts": 7})
def test_a_synchronous_client_is_answered(threaded_zoho_sandbox):
    box = threaded_zoho_sandbox
    assert box.calls == 0
    query = {"organization_id": box.organization}
    with requests.Session() as http:
        client(box, http)
        rows = http.get(f"{box.url}/books/v3/contacts", params=query).json()["contacts"]
        assert len(rows) == len(box.truth("contacts")) == 7
        box.faults.append(Fault(kind="status", status=503))
        assert http.get(f"{box.url}/books/v3/contacts", params=query).status_code == 503
        box.clock.advance(3600)
        assert http.get(f"{box.url}/books/v3/contacts", params=query).status_code == 401

def test_it_leaves_no_thread():
    assert threading.active_count() == 1

def test_a_fixture_that_could_not_answer_fails_at_once(zoho_sandbox):
    raise AssertionError("not reached")
"""


def run(folder: Path, *options: str) -> str:
    done = subprocess.run(
        [
            *(sys.executable, "-W", "error", "-m", "pytest", "-W", "error", "--strict-markers"),
            # By its module's name, whether or not the package is installed and offers it too.
            *("-p", "no:zoho_async", "-p", "zoho_async.pytest_plugin"),
            *("-p", "no:cacheprovider", "-p", "no:xdist"),
            *("-p", "no:aiohttp", "-p", "no:looptime_plugin", "-p", "no:hypothesispytest"),
            *("-p", "no:schemathesis", *options),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("asyncio", ["-o", "asyncio_mode=strict"]),
        pytest.param("asyncio", ["-o", "asyncio_mode=auto"], marks=pytest.mark.long),
        pytest.param("anyio", ["-o", "asyncio_mode=strict"], marks=pytest.mark.long),
    ],
)
def test_its_fixtures_work_under(tmp_path: Path, mode: str, options: list[str]) -> None:
    (tmp_path / "test_it.py").write_text(TESTS.replace("MODE", mode))
    if mode == "anyio":
        backend = "import pytest\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
        (tmp_path / "conftest.py").write_text(backend)
    told = run(tmp_path, *SCOPE, *options)
    assert "3 passed" in told, told


def test_a_synchronous_test_has_a_sandbox_in_a_thread(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(SYNCHRONOUS)
    told = run(tmp_path, *SCOPE, "-o", "asyncio_mode=auto")
    assert "2 passed, 1 error" in told, told
    assert "use threaded_zoho_sandbox, or make the test async" in told
    assert "not reached" not in told


@pytest.mark.long
def test_it_is_seen_in_the_list_of_fixtures_and_marks(tmp_path: Path) -> None:
    told = run(tmp_path, *SCOPE, "--fixtures", "-q") + run(tmp_path, *SCOPE, "--markers")
    assert "a fresh sandbox" in told.lower()
    assert "A session on the test's sandbox" in told
    assert "@pytest.mark.zoho_sandbox" in told


def test_it_loads_neither_sandbox_nor_products_before_a_test_asks(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import sys\n"
        "def test_light():\n"
        "    wanted = ('zoho_async.sandbox', 'zoho_async.books', 'aiolimiter', 'selenium')\n"
        "    assert not [name for name in sys.modules if name.startswith(wanted)]\n"
    )
    assert "1 passed" in run(tmp_path, *SCOPE)


def test_the_package_offers_it_to_pytest() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"zoho_async": "zoho_async.pytest_plugin"}
