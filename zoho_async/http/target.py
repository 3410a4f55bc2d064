"""Check the paths, ids and headers that callers give, so that a call is the one it seems to be.

Model. A call is counted for its organization, repeated by its method, and named in errors by its
path. A server and everything between must read the same three from the request as we did.

Invariant. After these checks the path arrives segment by segment as it was given, below the
product's own path; the organization is the one that the call is counted for; and the headers end
where ours end.

Why it holds. A ``#`` or ``?`` would end the path and swallow the organization. ``.`` and ``..``
segments are removed by clients, proxies and servers, before or after decoding, some of them after
cutting off ``;`` and what follows: so segments are looked at in every form that decoding gives.
An encoded slash or backslash separates segments for some servers. An empty segment is an id that is
missing: ``/contacts/`` is another operation than ``/contacts/1``. CR, LF and NUL end a header, and
the headers that frame a message or say who asks belong to the transport.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from zoho_async.errors import ConfigurationError

#: RFC 3986's characters of a path.
_PATH: Final = re.compile(r"/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_DOTS: Final = frozenset({b".", b".."})
_HIDDEN: Final = re.compile(rb"[\x00-\x1f\x7f/\\]")

#: Headers that frame the message, say who asks, or change what is asked.
OURS: Final = frozenset(
    {
        *("host", "content-length", "transfer-encoding", "content-encoding", "content-type"),
        *("connection", "keep-alive", "proxy-connection", "upgrade", "te", "trailer", "expect"),
        *("authorization", "proxy-authorization", "cookie", "accept-encoding"),
        *("x-http-method-override", "x-http-method", "x-method-override"),
    }
)


def checked_path(path: str) -> str:
    """``path`` as it is, or `ConfigurationError` for one that might arrive as another."""
    problem = _problem_of(path)
    if problem:
        raise ConfigurationError(f"path {path!r} {problem}")
    return path


def _problem_of(path: str) -> str:
    if not path.startswith("/") or "?" in path:
        return "must begin with / and hold no query"
    if not _PATH.fullmatch(path):
        return (
            "holds a character that no path can hold, such as #, a blank, a backslash or a letter "
            "with an accent; percent-encode what belongs to a name"
        )
    segments = path[1:].split("/")
    if "" in segments:
        return "has an empty part; an id is missing"
    if any(_is_hidden(segment) for segment in segments):
        return "must not hold . or .. or an encoded slash, backslash or control character"
    return ""


def _is_hidden(segment: str) -> bool:
    """Whether a segment is read as something other than a name, once it is decoded."""
    text = segment.encode()
    while True:
        if text.partition(b";")[0].strip() in _DOTS or _HIDDEN.search(text):
            return True
        decoded = unquote_to_bytes(text)
        if decoded == text:
            return False
        text = decoded


def quoted_id(name: str, value: object) -> str:
    """An id as one segment of a path. ``name`` is the parameter's.

    Raises `ValueError` for an empty one, without which the path would be that of another operation,
    and for one that would not arrive as one segment; `TypeError` for anything but text and int.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError(f"{name} is {type(value).__name__}; an id is a text or an int")
    text = str(value).strip()
    if not text:
        raise ValueError(f"{name} is {value!r}; an id is needed")
    parts = re.split(r"[/\\]", text)
    if _CONTROL.search(text) or "\t" in text or any(each.strip() in (".", "..") for each in parts):
        raise ValueError(f"{name} is {value!r}, which is no id")
    return quote(text, safe="")


def checked_headers(
    headers: Mapping[str, str], organization_headers: Iterable[str] = ()
) -> Mapping[str, str]:
    """``headers`` as they are. ``organization_headers`` are those that name an organization.

    Raises `ConfigurationError` that names the header, and never its value.
    """
    of_organization = {name.lower() for name in organization_headers}
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ConfigurationError(f"{name!r} is no name of a header")
        if name.lower() in OURS:
            raise ConfigurationError(f"the header {name} belongs to the client; leave it out")
        if name.lower() in of_organization:
            raise ConfigurationError(
                f"the header {name} names an organization; use for_organization(...)"
            )
        if _CONTROL.search(value):
            raise ConfigurationError(f"the header {name} holds a control character")
    return headers


def checked_query(query: Mapping[str, str], organization_query: str) -> Mapping[str, str]:
    """``query`` as it is, or `ConfigurationError` if it names an organization."""
    if organization_query and organization_query in query:
        raise ConfigurationError(
            f"the parameter {organization_query} names an organization; use for_organization(...)"
        )
    return query
