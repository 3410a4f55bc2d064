"""Fuzz targets for headers, names and paths."""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import UTC, datetime
from pathlib import PurePosixPath, PureWindowsPath
from typing import Final
from urllib.parse import unquote, urljoin, urlsplit

from zoho_async.errors import ConfigurationError, Request
from zoho_async.export.columns.schema import ObservedField, shape_of, with_observed
from zoho_async.http.call import Call, Options, quota_of, retry_after
from zoho_async.http.file_names import LONGEST, component, disposition_name, file_name
from zoho_async.http.target import checked_path, quoted_id
from zoho_async.http.transport import Answer
from zoho_async.operation import BOOKS
from zoho_async.paging.source import reply_date

_READ: Final = Call(
    request=Request("GET", "/contacts", "10234695"),
    product=BOOKS,
    options=Options(),
    caller=None,
)
_HTTP_DATE: Final = "%a, %d %b %Y %H:%M:%S GMT"
_PLAIN_NAME: Final = re.compile(r'attachment; ?filename="([0-9A-Za-z]{1,20}\.[a-z]{3})"')
_DEVICES: Final = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {
    f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"
}


def headers(data: bytes) -> None:
    """Limits, waits, dates, charsets and file names of headers: a sensible value or none.

    The input is lines of ``name: value``, an empty line, and a body.
    """
    head, _, body = data.partition(b"\n\n")
    answer = Answer(200, _headers(head), body)
    of = answer.headers.get
    quota = quota_of(answer)
    for name in ("limit", "remaining", "reset"):
        sent, found = of(f"x-rate-limit-{name}", ""), getattr(quota, name, None)
        assert found is None or 0 <= found < 1e9
        if re.fullmatch("[0-9]{1,9}", sent):
            assert found == int(sent), name
    wait, wanted = retry_after(answer), of("retry-after", "")
    assert wait is None or (math.isfinite(wait) and wait >= 0), wait
    if re.fullmatch("[0-9]{1,9}", wanted):
        assert wait == int(wanted)
    until, now = _http_date(wanted), _http_date(of("date", ""))
    if until is not None and now is not None:
        assert wait == max(0.0, until - now)
    if now is not None:
        assert reply_date(answer) == now
    date = reply_date(answer)
    assert date is None or math.isfinite(date)
    _judge_body(answer, _READ.understood(answer).body)
    sent_name = disposition_name(of("content-disposition", ""))
    _judge_file_name(file_name(sent_name, "document.bin"))
    if plain := _PLAIN_NAME.fullmatch(of("content-disposition", "")):
        assert sent_name == plain[1]


def names(data: bytes) -> None:
    """Names of files and columns, and ids in paths, stay what and where they are.

    The input is two texts, separated by a NUL.
    """
    first, _, second = data.partition(b"\0")
    one, other = (_text(each) for each in (first, second))
    made = [component(one), component(other)]
    for name in made:
        assert re.fullmatch(r"[0-9A-Za-z~-]{1,60}", name), name
        _judge_file_name(name)
    if one != other:
        assert _folded(made[0]) != _folded(made[1]), "two ids got one name"
    _judge_file_name(file_name(one, "document.bin"))
    assert len(file_name(other, "x", 20).encode()) <= 20
    _judge_columns(one, other)
    _judge_path(one)


def _judge_body(answer: Answer, body: bytes) -> None:
    try:
        answer.body.decode()
    except UnicodeDecodeError:
        if body is not answer.body:
            body.decode()  # it was converted to UTF-8
    else:
        assert body == answer.body.removeprefix(b"\xef\xbb\xbf"), "UTF-8 was changed"


def _judge_file_name(name: str) -> None:
    """``name`` is a file of its folder on every system."""
    assert 0 < len(name.encode()) <= LONGEST, name
    assert PurePosixPath("/a", name).parent == PurePosixPath("/a"), name
    assert PureWindowsPath("C:/a", name).parent == PureWindowsPath("C:/a"), name
    assert name.strip(" .") == name, name
    assert not name.startswith("-"), name
    assert not set(name) & set('<>:"|?*/\\'), name
    assert all(unicodedata.category(each)[0] != "C" for each in name), name
    assert name.partition(".")[0].strip().lower() not in _DEVICES, name


def _judge_columns(*fields: str) -> None:
    observed = tuple(ObservedField((field,), "text") for field in dict.fromkeys(fields))
    shape = with_observed(shape_of((), "contact_id"), observed)
    columns = [column.name for column in shape.columns]
    assert len({_folded(name) for name in columns}) == len(columns), columns
    assert len(columns) == 2 + len(set(fields) - {"contact_id", "_deleted_time"})
    for name in columns:
        assert 0 < len(name.encode()) <= 63, name
        assert all(unicodedata.category(each)[0] != "C" for each in name), name


def _judge_path(text: str) -> None:
    try:
        segment = quoted_id("id", text)
    except ValueError:
        pass
    else:
        url = urlsplit(urljoin("https://host/books/v3/contacts/x", segment))
        assert (url.query, url.fragment, url.netloc) == ("", "", "host")
        assert url.path == f"/books/v3/contacts/{segment}"
        assert unquote(segment) == text.strip()
    try:
        path = checked_path(text)
    except ConfigurationError:
        return
    decoded = path
    for _ in range(4):
        assert str(PurePosixPath(decoded)) == decoded.replace("//", "/"), path
        assert not {".", ".."} & set(decoded.split("/")), path
        decoded = unquote(decoded)
    assert urlsplit(f"https://host{path}?organization_id=1").query == "organization_id=1"


def _headers(head: bytes) -> dict[str, str]:
    """The headers as a client holds them: stripped, without control characters."""
    found: dict[str, str] = {}
    for line in head.decode("utf-8", "surrogateescape").split("\n"):
        name, _, value = line.partition(":")
        found[name.strip().lower()] = re.sub(r"[\x00-\x08\x0a-\x1f\x7f]", "", value).strip()
    return found


def _http_date(text: str) -> float | None:
    try:
        found = datetime.strptime(text, _HTTP_DATE).replace(tzinfo=UTC)
    except ValueError:
        return None
    return found.timestamp() if found.strftime(_HTTP_DATE) == text else None


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _text(data: bytes) -> str:
    """``data`` as text. It may have halves of surrogate pairs, which JSON can hold, too."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("latin-1")
