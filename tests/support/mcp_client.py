"""A real client of the protocol, and a server for agents in another process."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters, stdio_client

_MARKED = re.compile(r"<data-(\w+)>\n(.*)\n</data-\1>", re.DOTALL)


class Agent:
    """Calls tools, and compares the two forms of each result."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.seen: list[str] = []

    async def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.client.call_tool(tool, arguments)
        assert result.structured_content is not None
        data: dict[str, Any] = result.structured_content["data"]
        (content,) = result.content
        assert content.type == "text"
        self.seen.append(content.text)
        found = _MARKED.search(content.text)
        assert found is not None
        assert json.loads(found[2]) == data
        assert result.is_error == ("error" in data)
        return data

    async def all_rows(self, tool: str, **arguments: Any) -> list[Any]:
        """The rows of all parts of a result."""
        part = await self(tool, **arguments)
        rows = list(part["rows"])
        while "cursor" in part:
            part = await self("more", cursor=part["cursor"])
            rows += part["rows"]
        return rows


@asynccontextmanager
async def agent_of(
    environ: Mapping[str, str], home: Path, *options: str, **client: Any
) -> AsyncIterator[Agent]:
    """A session with ``zoho-async mcp`` over standard input and output."""
    server = StdioServerParameters(
        command=sys.executable,
        args=["-W", "error", "-m", "zoho_async.cli", "mcp", *options],
        env={**os.environ, **environ, **home_of(home)},
        cwd=home,
    )
    with (home / "stderr").open("a") as errors:
        async with Client(stdio_client(server, errlog=errors), **client) as session:
            yield Agent(session)


def home_of(home: Path) -> dict[str, str]:
    """The variables that put all files of the user into ``home``."""
    return {
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
        "ZOHO_ASYNC_LEDGER": str(home / "limits.sqlite"),
    }
