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


def run(folder: Path, *options: str) -> str:
    done = subprocess.run(
        [
            *(sys.executable, "-W", "error", "-m", "pytest", "-W", "error", "--strict-markers"),
            # By its module's name, whether or not the package is installed and offers it too.
            *("-p", "no:zoho_async", "-p", "zoho_async.pytest_plugin"),
            *("-p", "no:cacheprovider", "-p", "no:xdist"),
            *("-p", "no:aiohttp", "-p", "no:looptime", "-p", "no:hypothesispytest", *options),
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
