"""Session events as log lines, spans and metrics."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from zoho_async import Session
from zoho_async.books import contacts
from zoho_async.errors import LimitError, NotFound
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
    Waited,
)
from zoho_async.export import Export
from zoho_async.limits import MemoryLedger
from zoho_async.observability import combine_observers, line_of, log_observer
from zoho_async.observability.log import level_of
from zoho_async.observability.opentelemetry import OpenTelemetry, template
from zoho_async.sandbox import Fault, Sandbox

CALLED = Called(
    method="GET",
    path="/contacts/460000000026049",
    organization="10234695",
    status=200,
    code=None,
    seconds=0.25,
    attempt=1,
)


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (CALLED, logging.DEBUG),
        (Paged(path="/x", organization=None, page=1, rows=2, new=2, has_more_page=False), 10),
        (Waited(organization="1", lane="bulk", seconds=0.6), logging.DEBUG),
        (Waited(organization="1", lane="bulk", seconds=30.0), logging.INFO),
        (Refreshed(expires_in=3600.0), logging.INFO),
        (
            Retried(
                method="GET",
                path="/x",
                organization=None,
                attempt=1,
                delay=0.5,
                cause="ServerError",
            ),
            logging.INFO,
        ),
        (Refused(organization="1", code=1070, blocked_for=0.0), logging.WARNING),
        (BlockStarted(organization="1", seconds=2.0), logging.WARNING),
        (BlockStarted(organization="1", seconds=900.0), logging.ERROR),
        (LedgerStarted(organization="1", seconds=105.0), logging.WARNING),
        (
            Exported(
                resource="books.items", organization="1", mode="full", rows=1, deleted=0, calls=1
            ),
            logging.INFO,
        ),
        (
            Drifted(record="Invoice", field="rate", expected="number", found="string", count=1),
            logging.WARNING,
        ),
    ],
)
def test_each_event_has_its_level(event: Event, level: int) -> None:
    assert level_of(event) == level


@pytest.mark.parametrize(
    ("status", "level"),
    [(201, logging.DEBUG), (404, logging.INFO), (500, logging.WARNING), (None, logging.WARNING)],
)
def test_the_level_of_a_call_follows_its_answer(status: int | None, level: int) -> None:
    call = Called(
        method="GET", path="/x", organization=None, status=status, code=None, seconds=0, attempt=1
    )
    assert level_of(call) == level


def test_an_event_is_always_one_line() -> None:
    assert line_of(CALLED) == (
        "called method=GET path=/contacts/460000000026049 organization=10234695 status=200 "
        "seconds=0.250 attempt=1"
    )
    odd = Drifted(record="A", field='a "b"\nforged', expected="x", found="", count=1)
    assert line_of(odd) == 'drifted record=A field="a \\"b\\"\\nforged" expected=x found="" count=1'


def test_nothing_is_written_if_the_level_is_off(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("books")
    with caplog.at_level(logging.WARNING, "books"):
        log_observer(logger)(CALLED)
        log_observer(logger)(Refused(organization="1", code=44, blocked_for=900.0))
    assert [record.getMessage() for record in caplog.records] == [
        "refused organization=1 code=44 blocked_for=900.000"
    ]


def test_ids_are_not_part_of_span_names() -> None:
    assert template("/invoices/460000000026049/comments/12") == "/invoices/{id}/comments/{id}"
    assert template("/settings/taxes") == "/settings/taxes"


async def test_calls_become_spans_and_metrics() -> None:
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    meters = MeterProvider([reader])
    events: list[Event] = []
    observer = combine_observers(OpenTelemetry(tracers, meters), events.append)
    async with (
        Sandbox(sizes={"contacts": 250}) as sandbox,
        Session.from_env(sandbox.environment(), observer=observer, ledger=MemoryLedger()) as zoho,
    ):
        with tracers.get_tracer("service").start_as_current_span("nightly") as parent:
            assert len([row async for row in contacts.list(zoho)]) == 250
            with pytest.raises(NotFound):
                await contacts.get(zoho, "99")
    finished = {span.name: span for span in spans.get_finished_spans()}
    missing = finished["GET /contacts/{id}"]
    assert missing.kind is SpanKind.CLIENT
    assert missing.status.status_code is StatusCode.ERROR
    assert missing.parent is not None
    assert missing.parent.span_id == parent.get_span_context().span_id
    assert dict(missing.attributes or {}) == {
        "http.request.method": "GET",
        "url.template": "/contacts/{id}",
        "url.path": "/contacts/99",
        "http.response.status_code": 404,
        "error.type": "404",
        "zoho.code": 1002,
        "zoho.organization": sandbox.organization,
    }
    assert missing.start_time is not None
    assert missing.end_time is not None
    assert missing.end_time > missing.start_time
    data = reader.get_metrics_data()
    assert data is not None
    metrics = {
        metric.name: metric
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert {"http.client.request.duration", "zoho.rows", "zoho.tokens.refreshed"} <= set(metrics)
    (rows,) = metrics["zoho.rows"].data.data_points
    assert getattr(rows, "value", None) == 250
    calls = sum(
        getattr(point, "count", 0)
        for point in metrics["http.client.request.duration"].data.data_points
    )
    assert calls == sum(isinstance(event, Called) for event in events)
    tracers.shutdown()
    meters.shutdown()


async def test_a_block_and_an_export_are_logged(tmp_path: Path) -> None:
    events: list[Event] = []
    async with (
        Sandbox(sizes={"books.items": 3}) as sandbox,
        Session.from_env(
            sandbox.environment(), observer=events.append, ledger=MemoryLedger()
        ) as zoho,
    ):
        async with Export(zoho, ["items"], to=tmp_path) as job:
            await job.wait()
        sandbox.faults.append(Fault(kind="refuse", code=44))
        with pytest.raises(LimitError):
            await contacts.list(zoho)
    told = [line_of(event) for event in events if isinstance(event, Exported | BlockStarted)]
    assert told == [
        "exported resource=books.items organization=10234695 mode=full rows=3 deleted=0 calls=1",
        "block_started organization=10234695 seconds=900.000",
    ]
