"""URLs, headers, and the meaning of an answer."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from zoho_async.errors import (
    Blocked,
    InvalidRequest,
    InvalidToken,
    MissingScope,
    NotFound,
    OrganizationError,
    RateLimited,
    ReplyError,
    Request,
    ServerError,
    TooManyInFlight,
    UnreadableReply,
)
from zoho_async.http.call import Call, Options, error_of, path_of, quota_of, retry_after
from zoho_async.http.transport import Answer
from zoho_async.operation import BILLING, BOOKS
from zoho_async.wire import query


def _call(**changes: object) -> Call:
    given: dict[str, object] = {
        "request": Request("GET", "/invoices", "10234695"),
        "product": BOOKS,
        "options": Options(),
        "caller": None,
        **changes,
    }
    return Call(**given)  # type: ignore[arg-type] # any of its fields


def _json(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    content_type = {"content-type": "application/json;charset=UTF-8"}
    return Answer(status, content_type | (headers or {}), body)


def test_a_plus_in_a_time_is_percent_encoded() -> None:
    moment = datetime(2026, 6, 9, 9, 45, 19, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    url = _call(query=query({"last_modified_time": moment})).url("https://api")
    assert url == (
        "https://api/books/v3/invoices"
        "?last_modified_time=2026-06-09T09%3A45%3A19%2B0530&organization_id=10234695"
    )


def test_billing_names_the_organization_in_a_header() -> None:
    call = _call(product=BILLING)
    assert call.url("https://api") == "https://api/billing/v1/invoices"
    assert call.all_headers("t")["X-com-zoho-subscriptions-organizationid"] == "10234695"


def test_ids_fill_the_path_in_order_and_are_quoted() -> None:
    path = path_of("/contacts/{contact_id}/tags/{tag_id}", ["460000000026049", "a/b?"])
    assert path == "/contacts/460000000026049/tags/a%2Fb%3F"


@pytest.mark.parametrize("empty", ["", " ", "..", "."])
def test_an_empty_id_does_not_become_another_operation(empty: str) -> None:
    with pytest.raises(ValueError, match="contact_id"):
        path_of("/contacts/{contact_id}", [empty])


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (_json(b'{"code":0,"message":"success"}'), None),
        (_json(b'{"code":"0"}'), None),
        (_json(b'{"data":[{"code":0}]}'), None),
        (_json(b'{"code":9004,"message":"no"}'), ReplyError),
        (_json(b'{"code":44,"message":"no"}'), Blocked),
        (_json(b'{"code":"43","message":"no"}', 429), Blocked),
        (_json(b'{"code":44.0,"message":"no"}'), Blocked),
        (_json(b'{"code":"44.0","message":"no"}'), Blocked),
        (_json(b'{"code":1070.0,"message":"no"}', 400), TooManyInFlight),
        (_json(b'{"code":99999,"message":"no"}', 429), RateLimited),
        (_json(b"{}", 429), RateLimited),
        (_json(b'{"code":57}', 401), MissingScope),
        (_json(b'{"code":14}', 401), InvalidToken),
        (_json(b'{"code":6041}', 400), OrganizationError),
        (_json(b'{"code":4}', 400), InvalidRequest),
        (_json(b'{"code":1002}', 404), NotFound),
        (_json(b'{"code":1000}', 500), ServerError),
        (Answer(502, {"content-type": "text/html"}, b"<html>"), ServerError),
        (Answer(404, {"content-type": "text/html"}, b"<html>"), NotFound),
        (Answer(429, {}, b""), RateLimited),
        (Answer(302, {"location": "/"}, b""), UnreadableReply),
        (Answer(200, {"content-type": "text/html"}, b"<html>"), UnreadableReply),
        (_json(b""), UnreadableReply),
        (_json(b'{"code":0,"invoices":['), UnreadableReply),
        (_json(b"[]"), UnreadableReply),
    ],
)
def test_each_answer_gives_its_error_or_none(answer: Answer, kind: type[Exception] | None) -> None:
    error = error_of(_call(), answer)
    assert error is None if kind is None else type(error) is kind


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(200, {"content-type": "application/pdf"}, b"%PDF-1.4"), None),
        (Answer(200, {"content-type": "application/octet-stream"}, b"\r\n%PDF-1.4"), None),
        (Answer(200, {"content-type": "application/pdf"}, b"not found"), UnreadableReply),
        (Answer(200, {"content-type": "application/pdf"}, b""), UnreadableReply),
        (Answer(200, {"content-type": "text/html"}, b"<html>"), UnreadableReply),
        (_json(b'{"code":0,"message":"success"}'), UnreadableReply),
        (_json(b'{"code":1002,"message":"gone"}', 404), NotFound),
        (_json(b'{"code":9004,"message":"no"}'), ReplyError),
    ],
)
def test_a_document_answer_is_a_document_or_an_error(
    answer: Answer, kind: type[Exception] | None
) -> None:
    error = error_of(_call(accept="application/pdf"), answer)
    assert error is None if kind is None else type(error) is kind


@pytest.mark.parametrize("charset", ["ISO-8859-1", '"latin1"', "windows-1252; x=1"])
def test_a_body_that_is_not_utf_8_is_decoded_by_its_charset(charset: str) -> None:
    headers = {"content-type": f"application/json; charset={charset}"}
    body = '{"code":0,"message":"Müller"}'
    answer = _call().understood(Answer(200, headers, body.encode("latin-1")))
    assert answer.body == body.encode()
    assert error_of(_call(), answer) is None


@pytest.mark.parametrize("charset", ["unknown", "undefined", "hex", "utf-7", "idna", "\udcb3"])
def test_a_charset_that_does_not_help_leaves_the_body(charset: str) -> None:
    headers = {"content-type": f"application/json; charset={charset}"}
    answer = Answer(200, headers, b'{"code":0,"message":"\xe4 +2AA-"}')
    assert _call().understood(answer) is answer
    assert error_of(_call(), answer) is None


@pytest.mark.parametrize("charset", ["iso-8859-1", "utf-8", "unknown", ""])
def test_a_body_that_is_utf_8_stays_whatever_its_charset_says(charset: str) -> None:
    headers = {"content-type": f"application/json; charset={charset}"}
    answer = Answer(200, headers, '{"code":0,"message":"Müller"}'.encode())
    assert _call().understood(answer) is answer


def test_an_error_names_the_call_and_the_scope_it_needs() -> None:
    call = _call(scope="ZohoBooks.invoices.READ")
    error = error_of(call, _json(b'{"code":57,"message":"You are not authorized"}', 401))
    assert "GET /invoices (organization 10234695)" in str(error)
    assert "HTTP 401, code 57" in str(error)
    assert "ZohoBooks.invoices.READ" in str(error)


def test_the_daily_quota_is_read_from_the_headers_that_are_present() -> None:
    answer = _json(b"{}", headers={"x-rate-limit-limit": "10,000", "x-rate-limit-remaining": "944"})
    quota = quota_of(answer)
    assert quota is not None
    assert (quota.limit, quota.remaining, quota.reset) == (10_000, 944, None)
    assert quota_of(_json(b"{}")) is None
    assert quota_of(_json(b"{}", headers={"x-rate-limit-remaining": "lots"})) is None


def test_retry_after_is_seconds_or_a_date_by_the_servers_own_clock() -> None:
    until = "Wed, 21 Oct 2026 07:28:00 GMT"

    def wait(**headers: str) -> float | None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return retry_after(_json(b"{}", headers=named))

    assert wait(retry_after="3600") == 3600
    assert wait(retry_after=until, date="Wed, 21 Oct 2026 07:13:00 GMT") == 900
    assert wait(retry_after=until, date="Wed, 21 Oct 2026 08:00:00 GMT") == 0
    assert wait(retry_after=until) is None
    assert wait(retry_after="soon", date=until) is None
    assert wait(retry_after="Wed, 21 Oct 202640 07:28:00 GMT", date=until) is None
    assert wait() is None
