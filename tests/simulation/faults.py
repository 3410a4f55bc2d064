"""The faults that a plan may contain.

A fault of a link hits one request (or one attempt to connect) of one worker to one host: the
``nth``, counted from 1. Then a replay meets it at the same request even if other workers are
removed. A fault of a worker hits at a moment, or when its ``nth`` request to a host reaches a
phase.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

#: Faults of an attempt to connect.
CONNECT: Final = ("no_name", "refused", "unreachable")
#: Faults of a request and its reply.
LINK: Final = (
    "cut_before",  # the connection breaks before the request arrives
    "cut_after",  # the request takes effect, then the connection breaks
    "cut_within",  # the connection breaks within the reply
    "cut_idle",  # the connection breaks after the reply
    "lost_request",  # silence: the request does not arrive, and the connection stays open
    "lost_reply",  # silence: the request takes effect, and the connection stays open
    "late",  # the reply comes late
    "bytewise",  # the reply comes in small pieces
    "duplicate",  # the request arrives twice (only one that reads)
    "stray_reply",  # another reply follows, to no request
    "stray_bytes",  # bytes that are no reply follow
    "partition",  # nothing passes between the worker and the host for some time
)
#: Those that make sense for every protocol, not only for HTTP.
STREAM: Final = (
    "cut_before",
    "cut_after",
    "lost_request",
    "lost_reply",
    "late",
    "partition",
)
#: Faults of the disk, at the ``nth`` call of a worker for a file (`tests.simulation.disk`).
DISK: Final = (
    "disk_kill",  # the process dies at the call; a write may be cut off
    "power",  # the machine loses power at the call: all of its workers die
    "disk_full",  # no room for some time
    "disk_error",  # the call fails
    "lock_held",  # another program holds the locks for some time
)
#: Faults of a worker.
WORKER: Final = ("kill", "stop", "fork")

Phase: TypeAlias = Literal["", "connect", "sent", "arrived", "replied"]


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """One fault.

    ``seconds`` is how long it lasts: the lateness, the partition, the stop, or the time from a kill
    to the restart. A fault of a worker has ``at`` (seconds from the start) or a ``phase``.
    """

    kind: str
    worker: str
    host: str = ""
    nth: int = 0
    seconds: float = 0.0
    at: float = 0.0
    phase: Phase = ""
