"""A function in an interpreter of its own, where nobody else's memory and imports are."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec

_CHILD = (
    "import sys, msgspec, importlib;"
    "m, f, a = msgspec.json.decode(sys.argv[1]);"
    "sys.stdout.buffer.write(msgspec.json.encode(getattr(importlib.import_module(m), f)(*a)))"
)


def apart(module: str, function: str, *arguments: Any) -> Any:
    """What ``module.function(*arguments)`` returns there, as plain values of JSON."""
    asked = msgspec.json.encode([module, function, arguments]).decode()
    done = subprocess.run([sys.executable, "-c", _CHILD, asked], stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(done.stdout)
