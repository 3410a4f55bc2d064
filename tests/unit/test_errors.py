"""What all exceptions of the package promise."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from zoho_async.errors import (
    AuthError,
    InvalidToken,
    OrganizationError,
    RateLimited,
    ReplyError,
    Request,
    WaitTooLong,
    ZohoError,
)
from zoho_async.export.errors import ExportIncomplete
from zoho_async.export.events import Summary
from zoho_async.http.reply_errors import reply_error
from zoho_async.wire.input import CopyError
from zoho_async.wire.text import AnotherRecord, Unreadable

REQUEST = Request("GET", "/invoices", "10234695")
#: A value for each parameter of an exception, by its name.
VALUES: dict[str, Any] = {
    "request": REQUEST,
    "status": 400,
    "code": 1002,
    "calls": 7,
    "given": 201,
    "most": 200,
    "seconds": 12.5,
    "missing": 3,
    "completeness": "short",
    "reset_at": datetime(2026, 1, 31, tzinfo=UTC),
    "choices": ("1", "2"),
    "near": ("invoices",),
    "fields": (),
    "writes": (),
    "names": {"Name": "contact_name"},
    "asked": {"from_date": "2026-01-01"},
    "received": {"from_date": "2026-04-01"},
}
SUMMARY = Summary(
    organization="1",
    directory="out",
    resources=(),
    done=False,
    rows=0,
    rows_new=0,
    calls=0,
    least_calls=0,
    refused=0,
    seconds=0.0,
)


def kinds(base: type[Exception]) -> Iterator[type[Exception]]:
    for kind in base.__subclasses__():
        if kind.__module__.startswith("zoho_async"):
            yield kind
            yield from kinds(kind)


ALL = sorted({ZohoError, *kinds(ZohoError), CopyError, Unreadable, AnotherRecord}, key=str)


def made(kind: type[Exception]) -> Exception:
    if kind is ExportIncomplete:
        return ExportIncomplete(SUMMARY)
    if kind.__init__ in (Exception.__init__, ValueError.__init__):
        return kind("what happened")
    values: list[Any] = []
    named: dict[str, Any] = {}
    for name, parameter in inspect.signature(kind).parameters.items():
        value = VALUES.get(name, "text")
        if parameter.kind is parameter.KEYWORD_ONLY:
            named[name] = value
        else:
            values.append(value)
    return kind(*values, **named)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_an_exception_survives_copy_and_pickle(kind: type[Exception]) -> None:
    error = made(kind)
    error.add_note("a note")
    for same in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert type(same) is kind
        assert (str(same), same.args) == (str(error), error.args)
        assert repr(sorted(vars(same).items())) == repr(sorted(vars(error).items()))


def test_a_refused_token_is_an_error_of_authentication() -> None:
    assert isinstance(reply_error(REQUEST, 401, 14, "invalid"), AuthError)
    assert issubclass(InvalidToken, ReplyError)


def test_a_choice_of_organizations_keeps_the_rest_of_the_error() -> None:
    error = OrganizationError(REQUEST, 400, 6024, "which one?").with_explanation("name it")
    error.retry_after, error.status_in_body = 3.0, "own"
    named = error.with_choices(("1", "2"))
    assert (named.explanation, named.retry_after, named.status_in_body) == ("name it", 3.0, "own")
    assert "choose one of 1, 2" in str(named)
    assert "code 6024 means: name it" in str(named)


@pytest.mark.parametrize("code", [1, 999, 99_999])
def test_http_429_is_a_limit_with_any_code(code: int) -> None:
    assert isinstance(reply_error(REQUEST, 429, code, "slow down"), RateLimited)


def test_an_error_of_the_limits_names_its_call_once() -> None:
    assert WaitTooLong(12.5).request is None
    error = WaitTooLong(12.5).with_request(REQUEST)
    assert error.request == REQUEST
    assert str(error).count("/invoices") == 1
    refused = reply_error(REQUEST, 429, 44, "blocked")
    assert refused.request == REQUEST
    assert str(refused).count("/invoices") == 1
