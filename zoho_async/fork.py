"""Which objects survive a fork of the process, and which must not be used in the child.

A forked child has a copy of everything but the threads. A lock that another thread held stays
locked forever, a queue that another thread served stops, and a socket or an open database belongs
to two processes at once.

Model. An object that holds such a thing calls `register`. Before a fork it is prepared
(`ForkAware.before_fork`), so that the child inherits no held lock, no half-done transaction and no
open database. After the fork it is called on both sides. A server written in C may fork without
Python's hooks, so the objects also compare the process id at each entry (`Process`). The ledger in
memory compares it once per organization and event loop, because that would be a tenth of a call.

The child must not close some of the parent's objects: closing a database or an encrypted connection
acts on what the parent still uses. `never_close` keeps them alive as long as the process lives.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Final, Protocol
from weakref import WeakSet


class ForkAware(Protocol):
    """An object that takes part in forks. Its methods must not raise."""

    def before_fork(self) -> None:
        """Prepare for a fork by the calling thread."""
        ...

    def after_fork(self, *, child: bool) -> None:
        """Continue after the fork. ``child`` is True in the new process."""
        ...


class Process:
    """The process that an object belongs to."""

    __slots__ = ("_id",)

    def __init__(self) -> None:
        self._id = os.getpid()

    def changed(self) -> bool:
        """Whether the process is another one than at the last call."""
        before, self._id = self._id, os.getpid()
        return before != self._id

    @property
    def other(self) -> bool:
        """Whether the process is another one than the object was created in."""
        return self._id != os.getpid()


_registered: Final[WeakSet[ForkAware]] = WeakSet()
_last: Final[WeakSet[ForkAware]] = WeakSet()
_prepared: Final[list[ForkAware]] = []
_kept: Final[list[object]] = []


def register(one: ForkAware, *, last: bool = False) -> None:
    """Call the hooks of ``one`` at each fork for as long as it is in use.

    ``last`` is for locks that are taken while another lock is held, by threads that then wait for
    nothing else.
    """
    (_last if last else _registered).add(one)


def never_close(thing: object) -> None:
    """Keep ``thing`` alive forever, even when the process ends."""
    if thing is None:
        return
    _kept.append(thing)
    if sys.implementation.name == "cpython":
        import ctypes  # in a child alone

        # The list itself is cleared when the interpreter ends, and then nothing may be closed.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _before() -> None:
    _prepared.extend((*_registered, *_last))
    for one in _prepared:
        with suppress(Exception):
            one.before_fork()


def _after(*, child: bool) -> None:
    while _prepared:
        with suppress(Exception):
            _prepared.pop().after_fork(child=child)


def _in_parent() -> None:
    _after(child=False)


def _in_child() -> None:
    _after(child=True)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
