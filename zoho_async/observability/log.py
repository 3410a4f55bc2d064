"""Write events to the standard library's log.

One event is one line of ``name key=value ...`` (logfmt) under the logger ``zoho_async``. The level
says how serious it is:

- *error*: the organization is blocked, also for people in the web app, or its day is used up
- *warning*: Zoho refused a call because of its limits; a value did not fit its type; the server
  failed
- *info*: a resource was exported; a call is tried again; a new token came; a call waited long; Zoho
  refused a call
- *debug*: everything else

A value with spaces, quotes or characters that cannot be printed is written as JSON in ASCII, so
that text from a server cannot control a terminal that shows the log.

Events carry no token, body or query value. A line is built only if its level is enabled.
"""

from __future__ import annotations

import json
import logging
import re
from typing import Final

import msgspec

from zoho_async.events import (
    BlockStarted,
    Called,
    Drifted,
    Event,
    Exported,
    LedgerStarted,
    Observer,
    Refreshed,
    Refused,
    Retried,
    Waited,
)

LOGGER: Final = logging.getLogger("zoho_async")

#: A wait for the limits of at least so many seconds is logged as info.
_LONG: Final = 10.0
#: A block of at least so many seconds is logged as an error.
_BLOCK: Final = 60.0
_PLAIN: Final = re.compile(r"[^\s\"=\x00-\x1f\x7f]+")
_WORD_START: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


def log_observer(logger: logging.Logger = LOGGER) -> Observer:
    """Return an observer that writes each event to ``logger``, at the event's level."""

    def write(event: Event) -> None:
        level = level_of(event)
        if logger.isEnabledFor(level):
            logger.log(level, "%s", line_of(event))

    return write


def level_of(event: Event) -> int:
    """The `logging` level of ``event``."""
    match event:
        case BlockStarted(seconds=seconds):
            return logging.ERROR if seconds >= _BLOCK else logging.WARNING
        case Refused() | Drifted() | LedgerStarted():
            return logging.WARNING
        case Called(status=status):
            return _level_of_status(status)
        case Retried() | Refreshed() | Exported():
            return logging.INFO
        case Waited(seconds=seconds):
            return logging.INFO if seconds >= _LONG else logging.DEBUG
        case _:
            return logging.DEBUG


def _level_of_status(status: int | None) -> int:
    if status is None or status >= 500:
        return logging.WARNING
    return logging.INFO if status >= 400 else logging.DEBUG


def line_of(event: Event) -> str:
    """``called method=GET path=/contacts organization=10234695 status=200 ...`` on one line."""
    fields = msgspec.structs.asdict(event)
    values = [f"{name}={_text(value)}" for name, value in fields.items() if value is not None]
    name = _WORD_START.sub("_", type(event).__name__).lower()
    return " ".join([name, *values])


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.3f}"
    text = str(value)
    return text if _PLAIN.fullmatch(text) and text.isprintable() else json.dumps(text)
