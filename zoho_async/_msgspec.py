"""Create msgspec decoders that several threads may create and use.

Problem. msgspec builds a struct's description when the struct is first decoded or converted to. It
publishes the description before it is complete, because describing the inner structs runs Python
code. A second thread that reaches the same struct at that moment decodes with a partial
description, and the process crashes (msgspec 0.22; eight threads that read our own state for the
first time crashed one time in ten). A program with an event loop in each of several threads does
this with its first page.

Cure. One lock covers everything that makes msgspec describe a struct: `decoder_of` for decoders,
and `describe` before a first conversion. A description is complete and permanent once built, with
all inner structs, so decoding needs no lock. A fork takes the lock too, so that no child inherits
it locked, or a partial description.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar, overload

import msgspec

from zoho_async import fork

T = TypeVar("T")

#: Reentrant: describing may run the garbage collector, whose finalizers may come here again.
_LOCK: Final = threading.RLock()


class _ForkGuard:
    """Makes a fork wait until no thread is describing. The child could not complete it."""

    def before_fork(self) -> None:
        _LOCK.acquire()

    def after_fork(self, *, child: bool) -> None:
        _LOCK.release()


_FORK_GUARD: Final = _ForkGuard()
fork.register(_FORK_GUARD, last=True)


@overload
def decoder_of(
    annotation: type[T], *, strict: bool = True, float_hook: Callable[[str], Any] | None = None
) -> msgspec.json.Decoder[T]: ...


@overload
def decoder_of(
    annotation: Any, *, strict: bool = True, float_hook: Callable[[str], Any] | None = None
) -> msgspec.json.Decoder[Any]: ...


def decoder_of(
    annotation: Any, *, strict: bool = True, float_hook: Callable[[str], Any] | None = None
) -> msgspec.json.Decoder[Any]:
    """Return a decoder of ``annotation``. The options are those of `msgspec.json.Decoder`."""
    with _LOCK:
        return msgspec.json.Decoder(annotation, strict=strict, float_hook=float_hook)


@functools.cache
def describe(annotation: Any) -> None:
    """Prepare ``annotation`` so that any thread can convert to it."""
    decoder_of(annotation)
