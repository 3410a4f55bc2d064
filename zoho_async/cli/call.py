"""``zoho-async call``: one call of any path, for what has no function or just to look."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from zoho_async.cli import outcome
from zoho_async.cli.connect import ConnectionOptions, connected
from zoho_async.cli.interrupt import interruptible
from zoho_async.cli.output import as_text
from zoho_async.cli.safe import print
from zoho_async.errors import ConfigurationError, Request
from zoho_async.http.call import JSON, Call, Options
from zoho_async.http.target import checked_path
from zoho_async.operation import PRODUCTS
from zoho_async.session import Session
from zoho_async.wire import Unreadable, encode
from zoho_async.wire.text import untyped

_HIDDEN: Final = "..."
_STDIN: Final = "@-"


class CallOptions(msgspec.Struct, frozen=True, kw_only=True):
    """One call as the command line names it; ``path`` begins after the API's version."""

    method: str
    path: str
    query: Mapping[str, str] = {}
    body: object | UnsetType = UNSET
    product: str = "books"
    per_user: bool = False


def call(
    asked: CallOptions, wanted: ConnectionOptions, *, environ: Mapping[str, str], dry_run: bool
) -> int:
    """Make the call and print its reply; with ``dry_run`` print the request and send nothing.

    Raises what the call raises, and `Interrupted`.
    """
    print(asyncio.run(interruptible(_carried_out(asked, wanted, environ, dry_run))))
    return outcome.DONE


async def _carried_out(
    asked: CallOptions, wanted: ConnectionOptions, environ: Mapping[str, str], dry_run: bool
) -> str:
    async with connected(wanted, environ, lambda event: None, organization=False) as zoho:
        if dry_run:
            return shown(asked, zoho)
        reply = await zoho.request(
            asked.method, asked.path, query=asked.query, body=asked.body, product=asked.product
        )
        return as_text(reply)


def shown(asked: CallOptions, zoho: Session) -> str:
    """The request as it would go out, its token hidden."""
    if asked.product not in PRODUCTS:
        raise ConfigurationError(f"product {asked.product!r} is none of {', '.join(PRODUCTS)}")
    call = Call(
        request=Request(
            asked.method.upper(), asked.path, None if asked.per_user else zoho.organization
        ),
        product=PRODUCTS[asked.product],
        options=Options(),
        caller=None,
        query=asked.query,
        body=None if asked.body is UNSET else encode(asked.body),
    )
    lines = [f"{call.request.method} {call.url(zoho.api_url)}"]
    headers = {"Accept": JSON, **call.all_headers(_HIDDEN)}
    lines += [f"{name}: {value}" for name, value in sorted(headers.items())]
    if asked.body is not UNSET:
        lines += ["", as_text(asked.body)]
    return "\n".join(lines)


def full_path(path: str) -> str:
    """``path`` with its leading slash. Raises `ConfigurationError` for one that cannot be."""
    if "?" in path:
        raise ConfigurationError(f"the path {path!r} holds a query; give it as --query NAME=VALUE")
    return checked_path(path if path.startswith("/") else f"/{path}")


def read_body(text: str | None) -> Any | UnsetType:
    """JSON as given, from ``@FILE``, or from stdin (``@-``); unset for None.

    Raises `ConfigurationError` for what is no JSON.
    """
    if text is None:
        return UNSET
    try:
        if text == _STDIN:
            source = sys.stdin.buffer.read()
        elif text.startswith("@"):
            source = Path(text[1:]).read_bytes()
        else:
            source = text.encode()
        return untyped(source)
    except (Unreadable, OSError) as problem:
        raise ConfigurationError(f"--body cannot be read: {problem}") from None
