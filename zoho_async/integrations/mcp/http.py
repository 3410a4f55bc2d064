"""Serve the protocol over HTTP on this machine.

Model
-----
Every program and every page in a browser of this machine can send requests to a port on loopback. A
page can also give its own name the address 127.0.0.1, so that the browser takes the server for the
page's own (DNS rebinding).

Invariant
---------
A request reaches the tools only with the token, from no page, and under a name of loopback.

Why it holds
------------
The server listens on 127.0.0.1 only. The token is compared before anything else, in constant time.
Then the protocol's library compares ``Host`` and ``Origin`` with the names of loopback and the
port; a request without ``Origin`` does not come from a page. The token is never logged or printed:
it is in the environment, or in a file that only its owner can read.
"""

from __future__ import annotations

import hmac
import os
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.transport_security import TransportSecuritySettings
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from zoho_async.errors import ConfigurationError
from zoho_async.files import create_private

#: The variable that can hold the token, and its least length.
TOKEN_VARIABLE: Final = "ZOHO_MCP_TOKEN"
_SHORTEST: Final = 32
_HOST: Final = "127.0.0.1"
_NAMES: Final = (_HOST, "localhost")
_MOST_BYTES: Final = 1 << 20


def open_port(port: int) -> socket.socket:
    """Listen on ``port`` of loopback; 0 chooses one. Raises `ConfigurationError` if it is taken."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # on Windows the option lets others take the port over
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((_HOST, port))
        listening.listen()
    except OSError as problem:
        listening.close()
        raise ConfigurationError(f"port {port} cannot be used: {problem.strerror}") from None
    return listening


def url_of(listening: socket.socket) -> str:
    """Return the address for clients."""
    return f"http://{_HOST}:{listening.getsockname()[1]}/mcp"


def token_of(environ: Mapping[str, str], file: Path) -> str:
    """Return the token of the environment, else that in ``file``, which is created if missing.

    Raises `ConfigurationError` for a token that is too short, and if others can read the file.
    """
    token = environ.get(TOKEN_VARIABLE, "")
    if not token:
        token = _token_in(file)
    if len(token) < _SHORTEST:
        raise ConfigurationError(f"the token must have at least {_SHORTEST} characters")
    return token


def _token_in(file: Path) -> str:
    try:
        token = secrets.token_urlsafe(_SHORTEST)
        if not file.exists() and create_private(file, f"{token}\n".encode()):
            return token
        if os.name == "posix" and file.stat().st_mode & 0o077:
            raise ConfigurationError(f"others can read {file}: run chmod 600")
        return file.read_text("utf-8").strip()
    except OSError as problem:
        raise ConfigurationError(f"the token {file} cannot be read: {problem.strerror}") from None


async def serve_http(server: Server[Any], listening: socket.socket, token: str) -> None:
    """Serve until a signal."""
    port = listening.getsockname()[1]
    security = TransportSecuritySettings(
        allowed_hosts=[f"{name}:{port}" for name in _NAMES],
        allowed_origins=[f"http://{name}:{port}" for name in _NAMES],
    )
    app = server.streamable_http_app(
        transport_security=security, max_request_body_size=_MOST_BYTES, host=_HOST
    )
    config = uvicorn.Config(
        _WithToken(app, token), log_config=None, access_log=False, server_header=False
    )
    await uvicorn.Server(config).serve(sockets=[listening])


class _WithToken:
    """Passes on the requests that carry the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app: Final = app
        self._expected: Final = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("authorization", "").encode("latin-1")
        if scope["type"] == "http" and hmac.compare_digest(given, self._expected):
            await self._app(scope, receive, send)
            return
        refused = PlainTextResponse(
            "a bearer token is needed", 401, headers={"WWW-Authenticate": "Bearer"}
        )
        await refused(scope, receive, send)
