"""Every example of the documentation does what the page around it says: it is run here."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from zoho_async import Session
from zoho_async.books import contacts, invoices, items
from zoho_async.books.invoices import InvoiceInput
from zoho_async.errors import AmbiguousWrite
from zoho_async.limits import MemoryLedger
from zoho_async.sandbox import Sandbox

DOCS = Path(__file__).parents[2] / "docs"
SIZES = {"books.contacts": 400, "books.items": 20, "books.invoices": 300}
#: Pages whose blocks belong together and name things that no reader has here.
ELSEWHERE = {
    "tutorials/fleet.md": "redis://redis.internal/0",
    "howto/schedulers.md": "`test_schedulers` runs it",
    "howto/warehouse.md": "`test_schedulers` runs it",
}


def blocks(page: Path) -> list[CodeType]:
    """The Python blocks of a page, compiled; ``await`` may stand at their top level."""
    found = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    return [
        compile(block, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT) for block in found
    ]


async def run(block: CodeType, names: dict[str, Any]) -> None:
    running = eval(block, names)
    if running is not None:
        await running


PAGES = sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


@pytest.mark.parametrize("name", [name for name in PAGES if name not in ELSEWHERE])
async def test_the_examples_of_a_page_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = blocks(DOCS / name)
    if not page:
        return
    async with Sandbox(sizes=SIZES) as sandbox:
        for variable, value in sandbox.environment().items():
            monkeypatch.setenv(variable, value)
        async with Session.from_env(ledger=MemoryLedger()) as zoho:
            names: dict[str, Any] = {
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
            names["new"] = InvoiceInput(customer_id=names["customer"], reference_number="R-1")
            for block in page:
                await run(block, names)
            for name, made in list(names.items()):
                if name.startswith("test_"):
                    await made()


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(DOCS), str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert (built.returncode, built.stderr) == (0, "")
    pages = {str(page.relative_to(tmp_path)) for page in tmp_path.rglob("*.html")}
    assert {name.replace(".md", ".html") for name in PAGES} <= pages
