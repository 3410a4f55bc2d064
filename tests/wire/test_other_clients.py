"""Other people's clients of Zoho against the sandbox, as they are on PyPI.

They are installed in a separate folder, since their pins clash with ours. The test is skipped where
pip cannot install them.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.other_clients import CLIENTS, NAME
from zoho_async.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
#: The clients, and what they need beyond what the tests have.
REQUIRED = [
    "arcade-zoho-books-api==0.1.1",
    "cizohosubscriptions==1.0.4",
    "pyzohoapi==1.0.0",
    "zoho-books-mcp==0.1.0",
    "zoho-books-python-sdk==0.0.3",
    "zoho-inventory-python-sdk==0.0.9",
    "zohobooks-api==1.4",
    "zohopy==0.2.0",
    *("cachetools", "dnspython", "email-validator", "h2", "hpack", "httplib2", "hyperframe"),
    *("jsonmerge", "jsonschema", "jsonschema-specifications", "pydantic-settings", "pyparsing"),
    *("python-dotenv", "referencing", "rpds-py", "simplejson", "structlog"),
]
NO_CONTACT = "Contact does not exist."
NO_ITEM = "The item does not exist."
#: What each client's error says. pyzohoapi drops Zoho's message and says the URL.
ERRORS = {
    "zohopy_books": NO_CONTACT,
    "zohopy_inventory": NO_ITEM,
    "pyzohoapi_books": "Not Found",
    "pyzohoapi_inventory": "Not Found",
    "zohobooks_api": NO_CONTACT,
    "zoho_books_mcp": NO_CONTACT,
    "arcade": NO_CONTACT,
    "books_sdk": NO_CONTACT,
    "inventory_sdk": NO_ITEM,
    "cizohosubscriptions": "The subscription does not exist.",
}
SIZES = dict.fromkeys(
    ("books.contacts", "inventory.contacts", "inventory.items", "billing.customers"), 450
)


async def run(*command: str, **environment: str) -> tuple[int, str, str]:
    """Run a program to its end: its exit code, stdout and stderr."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdout=pipe, stderr=pipe, env={**os.environ, **environment}, cwd=ROOT
    )
    out, error = await process.communicate()
    return process.returncode or 0, out.decode(), error.decode()


async def what_sees(client: str, folder: Path) -> dict[str, Any]:
    """What a client sees of a new sandbox, and the paths that the sandbox does not know."""
    async with Sandbox(per_minute=10**6, sizes=SIZES) as server:
        code, out, error = await run(
            *(sys.executable, "-m", "tests.support.other_clients"),
            *(client, server.url, server.organization),
            PYTHONPATH=os.pathsep.join([str(folder), str(ROOT)]),
            HOME=str(folder / client),
        )
        assert code == 0, f"{client}: {error}"
        seen: dict[str, Any] = json.loads(out)
        return {**seen, "tokens": server.accounts.requests > 0, "unknown": len(server.unknown)}


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_clients_of_others_work(tmp_path: Path) -> None:
    options = ("--quiet", "--no-deps", "--no-compile", "--retries", "1", "--target", str(tmp_path))
    code, _, error = await run(sys.executable, "-m", "pip", "install", *options, *REQUIRED)
    if code:
        pytest.skip(f"pip cannot install other people's clients: {error.strip()[-200:]}")
    seen = {client: await what_sees(client, tmp_path) for client in CLIENTS}
    errors = {client: each.pop("error") for client, each in seen.items()}
    assert [client for client, error in ERRORS.items() if error not in errors[client]] == []
    usual = {"listed": 200, "paged": 450, "read": True, "made": NAME, "changed": "Hello"}
    usual |= {"deleted": 0, "tokens": True, "unknown": 0}
    assert seen == dict.fromkeys(CLIENTS, usual)
