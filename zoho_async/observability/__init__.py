"""What a session does, told to the tools that people already watch.

    Session.from_env(observer=logged())                            # the standard library's logging
    Session.from_env(observer=told_to(logged(), OpenTelemetry()))  # and spans and metrics

Both are plain observers of `zoho_async.events`; without one nothing is built. The second stands in
`zoho_async.observability.opentelemetry` and needs the extra ``opentelemetry``.
"""

from __future__ import annotations

from zoho_async.events import Event, Observer
from zoho_async.observability.log import LOGGER, line_of, logged

__all__ = ["LOGGER", "line_of", "logged", "told_to"]


def told_to(*observers: Observer) -> Observer:
    """One observer that tells each of ``observers`` in turn."""

    def tell(event: Event) -> None:
        for observer in observers:
            observer(event)

    return tell
