"""Identify this start of the machine, and check whether a process on it is still alive.

Monotonic time counts from the start of the machine, so a moment that another process wrote is valid
only within the same start. Linux and macOS name each start. On other systems the start is estimated
from the two clocks, to ten minutes. A wrong estimate makes old entries count again. That costs a
minute, and never causes a block.
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
    """Return a name for this start of the machine."""
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
    """Return a name for this process that no other on this machine ever has."""
    pid = os.getpid()
    return f"{_namespace()}/{pid}/{_started(pid)}"


def alive(process: str) -> bool | None:
    """Return whether the process with this name (`this_process`) runs, or None if unknown.

    A further part of the name, after a slash, is ignored.
    """
    namespace, number, started, *_ = (*process.split("/"), "", "")
    if not started or namespace != _namespace():
        return None
    return _started(int(number)) == started


def _namespace() -> str:
    """Return the namespace of process ids; each container has one."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Return when the process started, in kernel ticks, or "" if unknown or ended."""
    try:
        # The name in parentheses may contain spaces; field 22 is the 20th after it.
        return (
            Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[19]
        )
    except (OSError, IndexError):
        return ""
