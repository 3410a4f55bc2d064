"""What survives a fork of the process, and what must not be used in the child.

A forked child has a copy of everything but the threads. So a lock that another thread held stays
held forever, a queue that another thread served is served by none, and a socket or an open database
belongs to two processes at once.

Model. An object that holds such a thing registers itself with `follow`. Before a fork it is asked
to come to rest (`Forked.before_fork`), so that the child inherits no lock that is held, no
transaction that is half done and no open database; afterwards it is told on which side it is. Who
forks without Python's knowledge (a server written in C) calls none of this, so the objects also
compare the process id at each entry (`Process`).

What a child must never close is kept for as long as the process lives (`keep`). Closing a database
or an encrypted connection acts on what the parent still uses.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Final, Protocol
from weakref import WeakSet


class Forked(Protocol):
    """What is told of forks. None of it may raise."""

    def before_fork(self) -> None:
        """The process is about to be forked, by the thread that calls this."""
        ...

    def after_fork(self, *, child: bool) -> None:
        """It was forked; ``child`` says that this is the new process."""
        ...


class Process:
    """Which process an object belongs to."""

    __slots__ = ("_id",)

    def __init__(self) -> None:
        self._id = os.getpid()

    def changed(self) -> bool:
        """Whether this is another process than at the last call."""
        before, self._id = self._id, os.getpid()
        return before != self._id

    @property
    def other(self) -> bool:
        """Whether this is another process than the one that the object was made in."""
        return self._id != os.getpid()


_followers: Final[WeakSet[Forked]] = WeakSet()
_last: Final[WeakSet[Forked]] = WeakSet()
_resting: Final[list[Forked]] = []
_kept: Final[list[object]] = []


def follow(one: Forked, *, last: bool = False) -> None:
    """Have ``one`` told of forks for as long as it is in use.

    ``last`` is for locks that are taken while another one is held, by threads that then wait for
    nothing.
    """
    (_last if last else _followers).add(one)


def keep(thing: object) -> None:
    """Never let go of ``thing``, not even when the process ends."""
    if thing is None:
        return
    _kept.append(thing)
    if sys.implementation.name == "cpython":
        import ctypes  # in a child alone

        # The list itself is cleared when the interpreter ends, and then nothing may be closed.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _before() -> None:
    _resting.extend((*_followers, *_last))
    for one in _resting:
        with suppress(Exception):
            one.before_fork()


def _after(*, child: bool) -> None:
    while _resting:
        with suppress(Exception):
            _resting.pop().after_fork(child=child)


def _in_parent() -> None:
    _after(child=False)


def _in_child() -> None:
    _after(child=True)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
