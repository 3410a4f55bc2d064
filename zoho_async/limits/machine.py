"""Which start of this machine it is, and whether a process on it still lives.

Monotonic time counts from the machine's start, so a moment that another process wrote down means
something only within the same one. Linux names each start; macOS too. Elsewhere the start is
guessed from the two clocks, to ten minutes: a wrong guess makes old entries count again, which
costs a minute and never a block.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import time
from pathlib import Path


@functools.cache
def boot_id() -> str:
    """A name for this start of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        pass
    if sys.platform == "darwin":
        try:
            return subprocess.run(
                ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"],
                capture_output=True,
                check=True,
                text=True,
                timeout=5,
            ).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            pass
    return f"started:{round((time.time() - time.monotonic()) / 600)}"


def this_process() -> str:
    """A name for the running process that no other on this machine shares, not even later."""
    pid = os.getpid()
    return f"{_namespace()}/{pid}/{_started(pid)}"


def alive(process: str) -> bool | None:
    """Whether the process that `this_process` named so still runs; None where that is hidden.

    More may follow after a slash; it says which part of the process is meant.
    """
    namespace, number, started, *_ = (*process.split("/"), "", "")
    if not started or namespace != _namespace():
        return None
    return _started(int(number)) == started


def _namespace() -> str:
    """The numbering that process ids belong to: containers have their own."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When the process started, in the kernel's ticks; "" where nobody tells or it is gone."""
    try:
        # The name in parentheses may hold anything; the 22nd field is the 20th after it.
        return (
            Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[19]
        )
    except (OSError, IndexError):
        return ""
