"""Events as OpenTelemetry spans and metrics (extra ``opentelemetry``).

Each HTTP request is a client span, a child of the span in which its call was made. It is built when
the event comes, with the request's own start and end. Names and attributes follow the semantic
conventions for HTTP clients; those that the conventions lack begin with ``zoho.``.

Spans are named by method and ``url.template`` (ids in the path are replaced), so that the number of
names stays small. For the same reason only the metrics of the limits name the organization. No
attribute holds a token, a body or a query.

================================= ============ ===============================================
``http.client.request.duration``  histogram, s one request, from sending to the last byte read
``zoho.limits.wait``              histogram, s the wait of a call for its organization's limits
``zoho.limits.refused``           counter      calls that Zoho refused because of its limits
``zoho.limits.blocked``           counter      blocks that started
``zoho.ledger.started``           counter      shared ledgers that are new or lost their counts
``zoho.retries``                  counter      calls that are tried again
``zoho.tokens.refreshed``         counter      new access tokens
``zoho.rows``                     counter      rows of lists that were read, each once
``zoho.exported``                 counter      rows that exports have written
``zoho.drift``                    counter      values that did not fit their type
``zoho.unconfirmed``              counter      filters that a list's reply does not confirm
================================= ============ ===============================================
"""

from __future__ import annotations

import re
import time
from typing import Final

from opentelemetry import metrics, trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import SpanKind, Status, StatusCode, TracerProvider
from opentelemetry.util.types import AttributeValue

from zoho_async import __version__
from zoho_async.events import (
    BlockStarted,
    Called,
    Drifted,
    Event,
    Exported,
    LedgerStarted,
    Paged,
    Refreshed,
    Refused,
    Retried,
    Unconfirmed,
    Waited,
)

_NAME: Final = "zoho_async"
#: Bounds of the convention for ``http.client.request.duration``, in seconds.
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_WAITS: Final = (0.01, 0.1, 0.5, 1, 5, 15, 30, 60, 300, 900, 3600)
_ID: Final = re.compile(r"(?<=/)[0-9][^/]*")


class OpenTelemetry:
    """An observer that creates spans and metrics. Providers default to the global ones."""

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        self._tracer: Final = trace.get_tracer(_NAME, __version__, tracer_provider)
        meter = metrics.get_meter(_NAME, __version__, meter_provider)
        self._duration: Final = meter.create_histogram(
            "http.client.request.duration",
            unit="s",
            description="Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._wait: Final = meter.create_histogram(
            "zoho.limits.wait",
            unit="s",
            description="Wait of a call for its organization's limits.",
            explicit_bucket_boundaries_advisory=_WAITS,
        )
        self._refused: Final = meter.create_counter("zoho.limits.refused", unit="{call}")
        self._blocked: Final = meter.create_counter("zoho.limits.blocked", unit="{block}")
        self._started: Final = meter.create_counter("zoho.ledger.started", unit="{start}")
        self._exported: Final = meter.create_counter("zoho.exported", unit="{row}")
        self._retries: Final = meter.create_counter("zoho.retries", unit="{call}")
        self._refreshed: Final = meter.create_counter("zoho.tokens.refreshed", unit="{token}")
        self._rows: Final = meter.create_counter("zoho.rows", unit="{row}")
        self._drift: Final = meter.create_counter("zoho.drift", unit="{value}")
        self._unconfirmed: Final = meter.create_counter("zoho.unconfirmed", unit="{filter}")

    def __call__(self, event: Event) -> None:
        """Record one event."""
        match event:
            case Called():
                self._called(event)
            case Waited():
                about = _about(event.organization) | {"zoho.lane": event.lane}
                self._wait.record(event.seconds, about)
            case Refused():
                code: AttributeValue = event.code if event.code is not None else "none"
                self._refused.add(1, _about(event.organization) | {"zoho.code": code})
            case BlockStarted():
                self._blocked.add(1, _about(event.organization))
            case LedgerStarted():
                self._started.add(1, _about(event.organization))
            case Exported():
                about = {"zoho.resource": event.resource, "zoho.mode": event.mode}
                self._exported.add(event.rows, about)
            case Retried():
                self._retries.add(1, _about(event.organization) | {"error.type": event.cause})
            case Refreshed():
                self._refreshed.add(1)
            case Paged():
                self._rows.add(event.new, {"url.template": template(event.path)})
            case Drifted():
                self._drift.add(1, {"zoho.record": event.record, "zoho.field": event.field})
            case Unconfirmed():
                about = {"url.template": template(event.path)}
                self._unconfirmed.add(len(event.filters), about)

    def _called(self, event: Called) -> None:
        route = template(event.path)
        attributes: dict[str, AttributeValue] = {
            "http.request.method": event.method,
            "url.template": route,
        }
        if event.status is not None:
            attributes["http.response.status_code"] = event.status
        if event.status is None or event.status >= 400:
            attributes["error.type"] = str(event.status) if event.status else "no_reply"
        self._duration.record(event.seconds, attributes)
        if event.attempt > 1:
            attributes["http.request.resend_count"] = event.attempt - 1
        if event.code:
            attributes["zoho.code"] = event.code
        end = time.time_ns()
        span = self._tracer.start_span(
            f"{event.method} {route}",
            kind=SpanKind.CLIENT,
            attributes={**attributes, **_about(event.organization), "url.path": event.path},
            start_time=end - round(event.seconds * 1e9),
        )
        if "error.type" in attributes:
            span.set_status(Status(StatusCode.ERROR))
        span.end(end)


def template(path: str) -> str:
    """``path`` with each id replaced: ``/invoices/{id}/comments``."""
    return _ID.sub("{id}", path)


def _about(organization: str | None) -> dict[str, AttributeValue]:
    return {} if organization is None else {"zoho.organization": organization}
