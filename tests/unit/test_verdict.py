"""What an answer means for a call, for every status, body and kind of call.

The expected values are written out here as the promise states them, by status; nothing is taken
from the module under test.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec
import pytest

from zoho_async.errors import ReplyError, Request, TransportError
from zoho_async.http.call import Call, Options, error_of
from zoho_async.http.retry import verdict
from zoho_async.http.transport import Answer
from zoho_async.http.verdict import is_ambiguous, next_step
from zoho_async.operation import BOOKS

Body: TypeAlias = Literal[
    "empty", "html", "cut", "array", "no code", "0", "4", "4001", "1000", "44"
]
Outcome: TypeAlias = Literal[
    "success", "error", "repeated", "after the block", "ambiguous", "repeated, then ambiguous"
]

BODIES: Final[dict[Body, bytes]] = {
    "empty": b"",
    "html": b"<html>no</html>",
    "cut": b'{"code":0,"message":"success","invoice":{"invo',
    "array": b"[]",
    "no code": b'{"message":"?"}',
    "0": b'{"code":0,"message":"success"}',
    "4": b'{"code":4,"message":"no"}',
    "4001": b'{"code":4001,"message":"no"}',
    "1000": b'{"code":1000,"message":"no"}',
    "44": b'{"code":44,"message":"no"}',
}
#: The codes that the resource documents; 1000 is among those of several resources.
CODES: Final = {4001: "payments were recorded", 1000: "the name is taken"}

NOT_JSON: Final[set[Body]] = {"empty", "html", "cut", "array"}
SAYS_NO: Final[set[Body]] = {"4", "4001", "1000"}


def expected_of_a_write(status: int, body: Body) -> Outcome:
    """The table of the promise, row by row."""
    if 200 <= status <= 299:
        if body in NOT_JSON:
            # HTTP 204 has no body, and says that it is done.
            return "success" if (status, body) == (204, "empty") else "ambiguous"
        return "after the block" if body == "44" else "error" if body in SAYS_NO else "success"
    if status in {501, 505, 521, 523, 525, 526}:
        return "after the block" if body == "44" else "error"
    if status in {408, 499} or body in NOT_JSON:
        return "ambiguous"
    if status == 429:
        return "after the block"
    if 400 <= status <= 499:
        if body == "44":
            return "after the block"
        return "error" if body in SAYS_NO else "ambiguous"
    if 500 <= status <= 599 and body == "4001":
        return "error"
    return "ambiguous"


def expected_of_a_read(status: int, body: Body) -> Outcome:
    if 200 <= status <= 299:
        if body in NOT_JSON:
            return "repeated"
        return "after the block" if body == "44" else "error" if body in SAYS_NO else "success"
    if status == 429 or body == "44":
        return "after the block"
    again = {500, 502, 503, 504, 408, 499}
    again |= {520, 521, 522, 523, 524, 525, 526, 527, 528, 529}
    return "repeated" if status in again else "error"


def outcome(call: Call, status: int, body: bytes) -> Outcome:
    error = error_of(call, call.understood(Answer(status, {}, body)))
    if error is None:
        return "success"
    assert isinstance(error, ReplyError | TransportError)
    found = verdict(error)
    doubt = is_ambiguous(call.kind, found)
    match next_step(call.kind, found):
        case "after_block":
            return "after the block"
        case "repeat":
            return "repeated, then ambiguous" if doubt else "repeated"
        case "raise":
            return "ambiguous" if doubt else "error"


def call(method: str, *, repeatable: bool = False) -> Call:
    return Call(
        request=Request(method, "/invoices/1", "10234695"),
        product=BOOKS,
        options=Options(),
        caller=None,
        codes=CODES,
        repeatable=repeatable,
    )


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_what_a_writes_answer_means_for_every_status(method: str, body: Body) -> None:
    found = {status: outcome(call(method), status, BODIES[body]) for status in range(100, 600)}
    assert found == {status: expected_of_a_write(status, body) for status in range(100, 600)}


@pytest.mark.parametrize("body", BODIES)
def test_a_read_is_repeated_for_these_answers_only(body: Body) -> None:
    found = {status: outcome(call("GET"), status, BODIES[body]) for status in range(100, 600)}
    assert found == {status: expected_of_a_read(status, body) for status in range(100, 600)}


@pytest.mark.parametrize("body", BODIES)
def test_a_repeatable_write_is_repeated_as_a_read_and_is_ambiguous_as_a_write(
    body: Body,
) -> None:
    repeatable_call = call("PUT", repeatable=True)
    for status in range(100, 600):
        found = outcome(repeatable_call, status, BODIES[body])
        read, write = expected_of_a_read(status, body), expected_of_a_write(status, body)
        if read == "repeated":
            doubt = write == "ambiguous"
            done = write == "success"
            assert found == (
                "success" if done else "repeated, then ambiguous" if doubt else "repeated"
            ), status
        elif read == "after the block":
            assert found == "after the block", status
        else:
            assert found == write, status


@pytest.mark.parametrize("status", [200, 201, 400, 404])
@pytest.mark.parametrize(
    ("code", "says_no"),
    [
        ("4", True),
        ('"4"', True),
        ("4.0", True),
        ('"4.0"', True),
        ('" 4 "', True),
        ('"error"', True),
        ('"INVALID_DATA"', True),
        ("-1", False),
        ('"-1"', False),
        ("true", False),
        ("false", False),
        ("4.5", False),
        ("[4]", False),
        ('{"a":4}', False),
        ("1e400", False),
    ],
)
def test_a_code_in_another_form_means_the_same_and_nonsense_means_nothing(
    status: int, code: str, says_no: bool
) -> None:
    body = f'{{"code":{code},"message":"it is wrong"}}'.encode()
    assert outcome(call("POST"), status, body) == ("error" if says_no else "ambiguous")
    assert outcome(call("GET"), status, body) != "success"
    if says_no:
        error = error_of(call("POST"), Answer(status, {}, body))
        assert isinstance(error, ReplyError)
        assert "it is wrong" in str(error)
        assert error.message == "it is wrong"


@pytest.mark.parametrize("blank", [b'{"code":null}', b'{"code":""}', b'{"code":" "}', b"{}"])
def test_a_blank_code_counts_as_no_code(blank: bytes) -> None:
    assert outcome(call("POST"), 200, blank) == "success"
    assert outcome(call("POST"), 400, blank) == "ambiguous"


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":"invalid_request"}',
        b'{"error":{"message":"invalid_request"}}',
        b'{"code":"","error":"invalid_request"}',
    ],
)
def test_an_error_without_a_code_may_have_run(body: bytes) -> None:
    assert outcome(call("POST"), 200, body) == "ambiguous"
    assert outcome(call("GET"), 200, body) == "error"
    assert "invalid_request" in str(error_of(call("GET"), Answer(200, {}, body)))


def test_a_bom_before_json_is_dropped() -> None:
    body = b"\xef\xbb\xbf" + BODIES["0"]
    assert outcome(call("GET"), 200, body) == "success"
    understood = call("GET").understood(Answer(200, {}, body))
    assert msgspec.json.decode(understood.body)["code"] == 0
    assert outcome(call("POST"), 400, b"\xef\xbb\xbf" + BODIES["4"]) == "error"
