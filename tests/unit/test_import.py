"""The modules that an import of the package must not load, because loading takes time."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: Whole packages, and modules of ours that few programs need.
HEAVY = {
    *("aiolimiter", "keyring", "redis", "sqlite3", "cryptography", "yaml", "pyarrow", "typer"),
    *("anyio._backends", "anyio._core", "anyio.to_thread"),
    *("email.mime", "http.server", "webbrowser", "tomllib", "xml", "unittest"),
    *("zoho_async.books", "zoho_async.invoice", "zoho_async.billing", "zoho_async.inventory"),
    *("zoho_async.cli", "zoho_async.codegen", "zoho_async.export", "zoho_async.sandbox"),
    *("zoho_async.paging", "zoho_async.description", "zoho_async.http.atomic_file"),
    *("zoho_async.auth.stores.file", "zoho_async.auth.profiles", "zoho_async.auth.stores.redis"),
    *("zoho_async.limits.redis", "zoho_async.limits.sqlite", "zoho_async.files"),
}


def loaded_by(statement: str) -> set[str]:
    """The modules that a statement loads beyond those of aiohttp, msgspec and anyio.

    An older anyio loads all of itself. A newer one does not, so that parts of it count as well.
    """
    program = (
        "import sys, aiohttp, anyio, msgspec; before = set(sys.modules)\n"
        f"{statement}\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(ran.stdout.split())


def among(modules: set[str], heavy: set[str]) -> set[str]:
    return {name for name in modules if any(f"{name}.".startswith(f"{each}.") for each in heavy)}


def test_the_package_alone_loads_nothing_heavy() -> None:
    assert among(loaded_by("from zoho_async import *"), HEAVY) == set()


def test_the_pytest_plugin_loads_nothing_of_the_client() -> None:
    """It is loaded in every run of pytest where the package is installed."""
    program = "import sys, pytest, zoho_async.pytest_plugin; print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(ran.stdout.split())
    assert among(loaded, {"aiohttp", "msgspec"}) == set()
    assert among(loaded, {"zoho_async"}) == {"zoho_async", "zoho_async.pytest_plugin"}


def test_public_names_and_modules_load_on_first_use() -> None:
    program = (
        "import zoho_async; print(zoho_async.errors.NotFound.__name__, zoho_async.Session.__name__,"
        " hasattr(zoho_async, 'nothing'), set(zoho_async.__all__) <= {*dir(zoho_async)})\n"
        "from zoho_async import *; print(Upload.__name__)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["NotFound", "Session", "False", "True", "Upload"]


def test_a_resource_loads_itself_and_its_dependencies_only() -> None:
    loaded = loaded_by("from zoho_async.books import invoices")
    own = {
        "zoho_async.books",
        "zoho_async.books.invoices",
        "zoho_async.books.types",
        "zoho_async.books.types.invoices",
        "zoho_async.books.types.shared",
    }
    assert among(loaded, {"zoho_async.books"}) == own
    rest = HEAVY - {"zoho_async.books", "zoho_async.paging", "zoho_async.description"}
    assert among(loaded, rest) == set()


def test_a_product_loads_on_its_first_use_and_no_resource_before_it_is_touched() -> None:
    opened = (
        "import asyncio\nfrom zoho_async import *\nasync def use():\n"
        "    async with Session(Credentials('a', 'b', 'c'), organization=1) as zoho:\n        "
    )
    books = {"zoho_async.books", "zoho_async.description"}
    for use, loaded in [
        ("pass", set()),
        ("zoho.books", books),
        ("zoho.for_organization(2).books", books),
        ("zoho.books.taxes.get", {*books, "zoho_async.books.taxes"}),
    ]:
        found = among(loaded_by(f"{opened}{use}\nasyncio.run(use())"), HEAVY)
        assert {name for name in found if ".types" not in name and ".paging" not in name} == loaded


@pytest.mark.parametrize(
    ("package", "name", "module"),
    [
        ("zoho_async.auth", "FileStore", "zoho_async.auth.stores.file"),
        ("zoho_async.auth", "Profiles", "zoho_async.auth.profiles"),
        ("zoho_async.limits", "SqliteLedger", "zoho_async.limits.sqlite"),
        ("zoho_async.limits", "RedisLedger", "zoho_async.limits.redis"),
    ],
)
def test_rarely_used_names_load_on_first_use(package: str, name: str, module: str) -> None:
    assert module in loaded_by(f"from {package} import {name}")


@pytest.mark.parametrize("package", ["zoho_async.auth", "zoho_async.limits"])
def test_every_public_name_can_be_imported_and_others_raise(package: str) -> None:
    loaded_by(f"from {package} import *")
    with pytest.raises(subprocess.CalledProcessError):
        loaded_by(f"import {package}; {package}.Nothing")


def test_the_command_loads_nothing_of_the_server_for_agents_before_it_serves() -> None:
    loaded = loaded_by(
        "import zoho_async.cli.app, zoho_async.cli.approve, zoho_async.integrations.mcp.tools"
    )
    heavy = {"mcp", "mcp_types", "pydantic", "starlette", "uvicorn", "httpx2", "duckdb", "pyarrow"}
    assert among(loaded, heavy) == set()
