"""``zoho-async sandbox``: its options, and the command in another process."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from zoho_async.cli.sandbox import SandboxOptions

COMMAND = (sys.executable, "-W", "error", "-m", "zoho_async.cli", "sandbox", "--port", "0")


def order(**changes: Any) -> SandboxOptions:
    usual: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": 0,
        "open_to_network": False,
        "allowed_hosts": (),
        "webhook_hosts": (),
        "seed": 1,
        "sizes": (),
        "organizations": (),
        "plan": "premium",
        "minute": 60.0,
        "speed": 1.0,
        "latency": "0",
        "faults": None,
        "snapshot": None,
    }
    return SandboxOptions(**(usual | changes))


@contextmanager
def serving(*options: str) -> Iterator[tuple[dict[str, str], subprocess.Popen[str]]]:
    """Run the command. Yields the environment that it prints, and the process."""
    with subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            printed = [process.stdout.readline().split("=", 1) for _ in range(7)]
            yield (
                {name.removeprefix("export "): shlex.split(text)[0] for name, text in printed},
                process,
            )
        finally:
            process.kill()
