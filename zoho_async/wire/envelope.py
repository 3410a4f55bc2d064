"""The envelope that every JSON reply comes in: a code, a message, and the value beside them."""

from __future__ import annotations

from typing import Any

import msgspec


class Unreadable(ValueError):
    """The body is no JSON object, or not all of one. The message never holds the body."""


class Envelope(msgspec.Struct, frozen=True):
    """Zoho's verdict. ``code`` is None where there was none; 0 is success."""

    code: int | None
    message: str
    error_info: Any = None


def read_envelope(body: bytes) -> Envelope:
    """The envelope of ``body``. Raises `Unreadable`."""
    raise NotImplementedError
