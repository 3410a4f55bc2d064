"""``zoho-async sandbox``: a local Zoho in a process of its own."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Sequence

from zoho_async.cli import outcome
from zoho_async.cli.connect import SANDBOX_SIZES
from zoho_async.cli.interrupt import interruptible
from zoho_async.errors import ConfigurationError
from zoho_async.sandbox import Sandbox


def serve(sandbox: Sandbox, *, port: int) -> int:
    """Serve until interrupted, which is the way to end it: the exit code is then 0."""
    try:
        asyncio.run(interruptible(_serve(sandbox)))
    except outcome.Interrupted:
        print("the sandbox is closed", file=sys.stderr)
        return outcome.DONE
    except OSError as problem:
        print(
            f"zoho-async: cannot listen on port {port}: {problem.strerror}; "
            "choose another with --port (0 takes a free one)",
            file=sys.stderr,
        )
        return outcome.USAGE
    return outcome.DONE


async def _serve(sandbox: Sandbox) -> None:
    async with sandbox:
        for name, value in sandbox.environment().items():
            print(f"export {name}={shlex.quote(value)}")
        sys.stdout.flush()
        print(
            f"serving {sandbox.url}; paste the lines above into another shell, then run there: "
            "zoho-async export --to DIR\nCtrl-C ends it",
            file=sys.stderr,
        )
        await asyncio.Event().wait()


def parse_sizes(texts: Sequence[str]) -> dict[str, int]:
    """``["invoices=6000"]`` over the usual sizes. Raises `ConfigurationError` for what is none."""
    sizes = dict(SANDBOX_SIZES)
    for text in texts:
        name, _, rows = text.partition("=")
        full = name if "." in name else f"books.{name}"
        if full not in sizes or not rows.isdecimal():
            raise ConfigurationError(
                f"--size takes RESOURCE=ROWS with one of {', '.join(sizes)}, got {text!r}"
            )
        sizes[full] = int(rows)
    return sizes
