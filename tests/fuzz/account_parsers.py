"""Fuzz targets for answers of the accounts server and for the XML of the retired API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, get_args
from xml.etree import ElementTree

from tests.fuzz import slow_json
from tests.fuzz.slow_json import NotJson, NotJudged
from zoho_async.auth.reply import GrantType, error_of, granted, revoked
from zoho_async.errors import AuthError
from zoho_async.legacy.xml import as_envelope
from zoho_async.wire import Unreadable

_GRANTS: Final[tuple[GrantType, ...]] = get_args(GrantType)
_STATUSES: Final = (200, 200, 200, 400, 401, 403, 408, 429, 500, 503)
_NAMES: Final = ("access_token", "refresh_token")


def token(data: bytes) -> None:
    """An answer with a token grants it, any other is an `AuthError` without secrets.

    The first byte chooses the HTTP status and the grant.
    """
    choice, body = (data[0], data[1:]) if data else (0, b"")
    status = _STATUSES[choice % len(_STATUSES)]
    grant_type = _GRANTS[choice // len(_STATUSES) % len(_GRANTS)]
    sent = _object(body)
    secrets = [sent[name] for name in _NAMES if isinstance(sent.get(name), str)]
    try:
        found = granted(status, body, grant_type)
    except AuthError as problem:
        _assert_secret(f"{problem}{problem!r}{problem.__cause__!r}", secrets)
    else:
        assert found.access.expires_in >= 1.0
        if sent:
            assert found.access.value == sent["access_token"]
            assert found.refresh_token == (sent.get("refresh_token") or "")
        _assert_secret(f"{found}{found!r}{found.access}", secrets)
    try:
        error = error_of(status, body, grant_type)
    except AuthError as problem:
        error = ("", problem)
    if error is not None:
        assert isinstance(error[1], AuthError)
        _assert_secret(f"{error[1]}", secrets)
    try:
        revoked(status, body)
    except AuthError:
        return
    assert status < 300
    assert not sent.get("error")


def xml(data: bytes) -> None:
    """An XML reply becomes an envelope with each of its texts, and a success only if it says so."""
    try:
        found: Any = slow_json.read(as_envelope(data))
    except Unreadable:
        return
    except NotJudged:
        return
    assert isinstance(found, dict)
    try:
        root = ElementTree.fromstring(data.strip())
    except (ElementTree.ParseError, ValueError, LookupError):
        # This parser also refuses a prefix without a namespace.
        assert found["code"] != 0 or b":" in data, "broken XML was a success"
        return
    assert root.tag == "Response"
    if found["code"] == 0:
        assert root.get("status") == "1", "a refusal was a success"
        repeated = {each.tag for each in root.iter()} & set(root.attrib)
        if not repeated and root.find("PageContext") is None:
            missing = set(_texts(root)) - set(_strings(found)) - {"1"}
            assert not missing, f"lost {missing}"


def _texts(element: ElementTree.Element) -> Iterator[str]:
    """The texts of the elements without children."""
    for child in element:
        if len(child):
            yield from _texts(child)
        elif text := (child.text or "").strip():
            yield text


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
    elif isinstance(value, str):
        yield value


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = slow_json.read(body.removeprefix(b"\xef\xbb\xbf"))
    except (NotJson, NotJudged):
        return {}
    return found if isinstance(found, dict) else {}


def _assert_secret(shown: str, secrets: list[str]) -> None:
    for secret in secrets:
        # The error's name is quoted, and a short secret can be a part of any sentence.
        assert len(secret) < 20 or secret not in shown, "a secret is shown"
