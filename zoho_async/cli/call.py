"""``zoho-async call``: calls any API path."""

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
from zoho_async.cli.outcome import interruptible
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
    """The options of one call. ``path`` begins after the API's version."""

    method: str
    path: str
    query: Mapping[str, str] = {}
    body: object | UnsetType = UNSET
    product: str = "books"
    per_user: bool = False


def call(
    options: CallOptions, wanted: ConnectionOptions, *, environ: Mapping[str, str], dry_run: bool
) -> int:
    """Make the call and print its reply. With ``dry_run`` print the request and send nothing.

    Raises what the call raises, and `Interrupted`.
    """
    print(asyncio.run(interruptible(_call(options, wanted, environ, dry_run))))
    return outcome.DONE


async def _call(
    options: CallOptions, wanted: ConnectionOptions, environ: Mapping[str, str], dry_run: bool
) -> str:
    async with connected(wanted, environ, lambda event: None, organization=False) as zoho:
        if dry_run:
            return request_text(options, zoho)
        reply = await zoho.request(
            options.method,
            options.path,
            query=options.query,
            body=options.body,
            product=options.product,
        )
        return as_text(reply)


def request_text(options: CallOptions, zoho: Session) -> str:
    """The request as it would be sent, with the token hidden."""
    if options.product not in PRODUCTS:
        raise ConfigurationError(
            f"unknown product {options.product!r}: use one of {', '.join(PRODUCTS)}"
        )
    call = Call(
        request=Request(
            options.method.upper(), options.path, None if options.per_user else zoho.organization
        ),
        product=PRODUCTS[options.product],
        options=Options(),
        caller=None,
        query=options.query,
        body=None if options.body is UNSET else encode(options.body),
    )
    lines = [f"{call.request.method} {call.url(zoho.api_url)}"]
    headers = {"Accept": JSON, **call.all_headers(_HIDDEN)}
    lines += [f"{name}: {value}" for name, value in sorted(headers.items())]
    if options.body is not UNSET:
        lines += ["", as_text(options.body)]
    return "\n".join(lines)


def full_path(path: str) -> str:
    """``path`` with its leading slash. Raises `ConfigurationError` for an invalid path."""
    if "?" in path:
        raise ConfigurationError(f"the path {path!r} has a query: give it as --query NAME=VALUE")
    return checked_path(path if path.startswith("/") else f"/{path}")


def read_body(text: str | None) -> Any | UnsetType:
    """The JSON body: literal, from ``@FILE``, or from stdin (``@-``). Unset for None.

    Raises `ConfigurationError` if it is not JSON.
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
