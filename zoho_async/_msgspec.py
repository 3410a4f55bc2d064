"""Decoders of msgspec, made so that several threads may make and use them.

msgspec describes a struct to itself when it is first decoded or converted to, and puts the
description where all threads find it before it is complete: while the structs inside are described,
which runs Python. A second thread that comes to the same struct at that moment decodes by a
description with holes, and the process dies of it (msgspec 0.22; eight threads that read our own
state for the first time at once died one time in ten). A program with an event loop in each of
several threads does just that with the first page that it reads.

So whatever makes msgspec describe a struct happens under one lock: `decoder_of` for decoders, and
`describe` before a struct is first converted to. What is described is described for good, with
everything inside it, so decoding itself needs no lock. A fork takes the lock too, so that no child
inherits it held, or a description that is not complete.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar, overload

import msgspec

from zoho_async import fork

T = TypeVar("T")

#: Describing may run the collector, and that anything: the same thread may come here again.
_DESCRIBING: Final = threading.RLock()


class _Undisturbed:
    """A fork waits until no thread describes: in the child nothing would complete it."""

    def before_fork(self) -> None:
        _DESCRIBING.acquire()

    def after_fork(self, *, child: bool) -> None:
        _DESCRIBING.release()


_UNDISTURBED: Final = _Undisturbed()
fork.follow(_UNDISTURBED, last=True)


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
    """A decoder of ``annotation``; the rest is as for `msgspec.json.Decoder`."""
    with _DESCRIBING:
        return msgspec.json.Decoder(annotation, strict=strict, float_hook=float_hook)


@functools.cache
def describe(annotation: Any) -> None:
    """Let ``annotation`` be one that any thread may convert to."""
    decoder_of(annotation)
