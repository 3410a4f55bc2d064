"""Logging and OpenTelemetry adapters for session events.

    Session.from_env(observer=log_observer())  # the standard library's logging
    Session.from_env(observer=combine_observers(log_observer(), OpenTelemetry()))

Both are observers of `zoho_async.events`. `OpenTelemetry` is in
`zoho_async.observability.opentelemetry` and needs the extra ``opentelemetry``.
"""

from __future__ import annotations

from zoho_async.events import Event, Observer
from zoho_async.observability.log import LOGGER, line_of, log_observer

__all__ = ["LOGGER", "combine_observers", "line_of", "log_observer"]


def combine_observers(*observers: Observer) -> Observer:
    """Return an observer that passes each event to all ``observers``, in order."""

    def observe(event: Event) -> None:
        for observer in observers:
            observer(event)

    return observe
