"""``zoho-async mcp``: serves the tools for agents.

Clients end a server by closing its input, and then by a signal. A thread waits for the input and
cannot be interrupted, so a signal deletes the copy of the mirror and ends the process at once. That
is safe: what must survive is on the disk before each call (the ledger, the journal, proposals).
"""

from __future__ import annotations

import asyncio
import os
import signal
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import msgspec

from zoho_async.cli import outcome
from zoho_async.cli.approve import agent_files
from zoho_async.cli.connect import ConnectionOptions, connected
from zoho_async.cli.safe import say
from zoho_async.errors import ConfigurationError, UnconfirmedFilter

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server


class McpOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of ``mcp``."""

    mirror: Path | None = None
    allow_deletes: bool = False
    confirm_in_client: bool = False
    uploads: tuple[Path, ...] = ()
    http: int | None = None


def serve(options: McpOptions, wanted: ConnectionOptions, *, environ: Mapping[str, str]) -> int:
    """Serve until the client closes the input, or until a signal. Raises `ConfigurationError`."""
    if find_spec("mcp") is None:
        raise ConfigurationError(
            "the server for agents needs the extra `mcp`: python -m pip install 'zoho-async[mcp]'"
        )
    warnings.simplefilter("ignore", UnconfirmedFilter)  # results say it
    asyncio.run(_serve(options, wanted, environ))
    return outcome.DONE


async def _serve(
    options: McpOptions, wanted: ConnectionOptions, environ: Mapping[str, str]
) -> None:
    from zoho_async.integrations.mcp.allowed import operations
    from zoho_async.integrations.mcp.mirror import SqlMirror
    from zoho_async.integrations.mcp.server import quiet_logs, serve_stdio, server_of
    from zoho_async.integrations.mcp.tools import Tools, Writes, observe
    from zoho_async.integrations.mcp.uploads import checked_folders

    quiet_logs()
    operations()  # reads the descriptions now, because the first call of a tool must not block
    with ExitStack() as stack:
        _close_on_signal(stack)
        mirror = None
        if options.mirror is not None:
            mirror = SqlMirror(options.mirror)
            stack.callback(mirror.close)
        async with connected(wanted, environ, observe) as zoho:
            proposals, journal = agent_files(environ)
            writes = Writes(
                proposals=proposals,
                journal=journal,
                allow_deletes=options.allow_deletes,
                confirm_in_client=options.confirm_in_client,
                uploads=checked_folders(options.uploads),
            )
            server = server_of(Tools(zoho, writes, mirror))
            if options.http is None:
                await serve_stdio(server)
            else:
                await _serve_http(server, options.http, journal.parent, environ)


async def _serve_http(
    server: Server[Any], port: int, folder: Path, environ: Mapping[str, str]
) -> None:
    from zoho_async.integrations.mcp.http import (
        TOKEN_VARIABLE,
        open_port,
        serve_http,
        token_of,
        url_of,
    )

    file = folder / "mcp-token"
    token = token_of(environ, file)
    place = TOKEN_VARIABLE if environ.get(TOKEN_VARIABLE) else file
    with open_port(port) as listening:
        say(f"serving {url_of(listening)}; the bearer token is in {place}")
        await serve_http(server, listening, token)


def _close_on_signal(stack: ExitStack) -> None:
    def on_signal(number: int, frame: FrameType | None) -> None:
        stack.close()
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
