"""Every example of the documentation runs."""

from __future__ import annotations

import html
import importlib.util
import re
import shlex
import subprocess
import sys
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from tests.support.doc_examples import DOCS, ROOT, blocks, compiled
from tests.support.redis_server import RedisServer, redis_8
from zoho_async import Session
from zoho_async.books import contacts, invoices, items
from zoho_async.books.invoices import InvoiceCreate, InvoiceLineItemInput
from zoho_async.description import operations
from zoho_async.errors import AmbiguousWrite
from zoho_async.limits import MemoryLedger
from zoho_async.operation import PRODUCTS
from zoho_async.sandbox import Sandbox
from zoho_async.sandbox.legacy import APIKEY, AUTHTOKEN

SIZES = {"books.contacts": 120, "books.items": 20, "books.invoices": 220}
#: Hosts in examples that the tests replace by their own servers.
REDIS = "redis://redis.internal/0"
ARCHIVE = "https://archive.example"
#: Blocks that only pytest can run.
FOR_PYTEST = "pytest.mark"
#: Without the pages of resources, which a build writes to ``products/<product>/``.
PAGES = sorted(
    name
    for name in (page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))
    if name.count("/") < 2
)
#: Pages that `test_schedulers` runs.
ELSEWHERE = {"howto/schedulers.md", "howto/warehouse.md"}


async def run(block: CodeType, names: dict[str, Any]) -> None:
    running = eval(block, names)
    if running is not None:
        await running


@pytest.mark.filterwarnings("ignore::zoho_async.errors.UnconfirmedFilter")
@pytest.mark.parametrize(
    "name", [name for name in PAGES if name not in ELSEWHERE and blocks(DOCS / name)]
)
async def test_the_examples_of_a_page_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = [block for block in blocks(DOCS / name) if FOR_PYTEST not in block]
    with ExitStack() as servers:
        if any(REDIS in block for block in page):
            url = servers.enter_context(RedisServer(redis_8() or "redis-server")).url
            page = [block.replace(REDIS, url) for block in page]
        async with Sandbox(sizes=SIZES) as sandbox:
            for variable, value in sandbox.environment().items():
                monkeypatch.setenv(variable, value)
            async with Session.from_env(ledger=MemoryLedger()) as zoho:
                names = await given(zoho)
                for block in page:
                    names["zoho"] = zoho
                    await run(compiled(block.replace(ARCHIVE, sandbox.url), name), names)
                if "main" in names:
                    await names["main"]()


async def given(zoho: Session) -> dict[str, Any]:
    """The names that every page may use."""
    names: dict[str, Any] = {
        "APIKEY": APIKEY,
        "AUTHTOKEN": AUTHTOKEN,
        "AmbiguousWrite": AmbiguousWrite,
        "Decimal": Decimal,
        "Session": Session,
        "contacts": contacts,
        "invoices": invoices,
        "zoho": zoho,
        "customer": (await contacts.list(zoho, per_page=1)).rows[0].contact_id,
        "item": (await items.list(zoho, per_page=1)).rows[0].item_id,
        "invoice_id": (await invoices.list(zoho, per_page=1)).rows[0].invoice_id,
    }
    names["new"] = InvoiceCreate(
        customer_id=names["customer"],
        reference_number="R-1",
        line_items=[InvoiceLineItemInput(item_id=names["item"], quantity=1)],
    )
    return names


@pytest.mark.long
def test_the_tests_of_the_sandbox_page_pass_in_pytest(tmp_path: Path) -> None:
    tests = [block for block in blocks(DOCS / "tutorials/testing.md") if FOR_PYTEST in block]
    assert tests
    (tmp_path / "test_docs.py").write_text("\n".join(tests))
    # By its module's name, whether or not the package is installed and offers it too.
    plugin = ["-p", "no:zoho_async", "-p", "zoho_async.pytest_plugin"]
    command = [sys.executable, "-m", "pytest", "-q", *plugin]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "-p", "no:looptime"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"{len(tests)} passed" in done.stdout, done.stdout


def commands() -> list[tuple[str, str]]:
    """Every ``zoho-async ...`` line of the pages and of README, with its page."""
    found = []
    for page in [ROOT / "README.md", *(DOCS / name for name in PAGES)]:
        for block in [*blocks(page, "console"), *blocks(page, "bash")]:
            for line in block.splitlines():
                command = re.split(r"\s[|>]\s|\s#", line.removeprefix("$ "))[0].strip()
                if command.startswith("zoho-async "):
                    found.append((page.name, command))
    return found


@pytest.mark.parametrize(("page", "command"), commands())
def test_every_shown_command_parses(
    page: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoho_async.cli.app import app

    monkeypatch.chdir(tmp_path)
    for path in DOCS.rglob(page):
        for block in blocks(path, "toml"):  # what the commands of the page read
            Path("zoho.toml").write_text(block, "utf-8")
    words = shlex.split(command)[1:]
    app.parse_args(words, print_error=False, exit_on_error=False)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(DOCS), str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert (built.returncode, built.stderr) == (0, "")
    pages = {str(page.relative_to(tmp_path)) for page in tmp_path.rglob("*.html")}
    assert {name.replace(".md", ".html") for name in PAGES} <= pages
    for product in PRODUCTS:
        page = html.unescape((tmp_path / f"products/{product}.html").read_text("utf-8"))
        text = re.sub(r"<[^>]+>", "", page)
        missing = [
            each.name
            for each in operations(product)
            if f"{each.method} {each.path}" not in text or each.scope not in text
        ]
        assert missing == []
        resources = {f"products/{each.resource.replace('.', '/')}" for each in operations(product)}
        assert {f"{name}.html" for name in resources} <= pages
        overview = (tmp_path / "llms.txt").read_text("utf-8")
        assert [name for name in resources if f"({name}.md)" not in overview] == []
    assert {page.replace(".html", ".md") for page in pages} - {
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.md")
    } <= {"genindex.md", "py-modindex.md", "search.md"} | {
        page.replace(".html", ".md") for page in pages if page.startswith("_modules/")
    }
    search = (tmp_path / "searchindex.js").read_text("utf-8")
    assert "add_attachment" in search
    assert '"line item' in search or '"line_item' in search


def links() -> list[tuple[str, str]]:
    """Every link of a page or README."""
    found = []
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(DOCS / name for name in PAGES)]:
        text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.DOTALL)
        targets = re.findall(r"\]\(([^)\s]+)\)|<(https?://[^>\s]+)>", text)
        found += [(page.relative_to(ROOT).as_posix(), one or other) for one, other in targets]
    return found


def test_every_link_to_elsewhere_is_https_and_names_a_host() -> None:
    outside = [(page, link) for page, link in links() if "://" in link]
    wrong = [
        (page, link)
        for page, link in outside
        if not re.fullmatch(r"https://[a-z0-9.-]+\.[a-z]{2,}(:\d+)?(/[^\s]*)?", link)
    ]
    assert wrong == []


def test_every_link_within_the_repository_leads_to_a_file() -> None:
    """Sphinx checks those between pages; README and CONTRIBUTING are read without it."""
    wrong = []
    for page, link in links():
        path = link.partition("#")[0]
        if "://" in link or not path:
            continue
        if not ((ROOT / page).parent / path).resolve().exists():
            wrong.append((page, link))
    assert wrong == []


def test_every_direct_dependency_has_its_licence_listed() -> None:
    spec = importlib.util.spec_from_file_location("licences", DOCS / "licences.py")
    assert spec is not None
    assert spec.loader is not None
    licences = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(licences)
    needs = licences.direct()
    assert {"aiohttp", "duckdb", "psycopg"} <= needs.keys()
    rows = re.findall(r"^\| (\S+) \| (.+) \| .+ \|$", licences.PAGE.read_text("utf-8"), re.M)
    listed = dict(rows)
    assert {name: listed.get(name) for name in needs} == {
        name: licences.licence(name) for name in needs
    }
