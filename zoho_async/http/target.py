"""Check the paths, ids and headers that callers give, so that a call is what it seems to be.

Model. A call is counted for its organization, repeated by its method, and named in errors by its
path. A server and every proxy must read the same three from the request as we did.

Invariant. After these checks, the path arrives segment by segment as given, under the product's
base path; the organization is the one that the call is counted for; and no value adds a header.

Why it holds. A ``#`` or ``?`` would end the path and cut off the organization. Clients, proxies and
servers remove ``.`` and ``..`` segments, before or after decoding, some of them after cutting off
``;`` and the rest: so segments are checked in every form that decoding gives. Some servers treat an
encoded slash or backslash as a separator. An empty segment is a missing id: ``/contacts/`` is
another operation than ``/contacts/1``. CR, LF and NUL end a header, and the headers that frame a
message or authenticate it belong to the transport.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from zoho_async.errors import ConfigurationError

#: The path characters of RFC 3986.
_PATH: Final = re.compile(r"/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_DOTS: Final = frozenset({b".", b".."})
_HIDDEN: Final = re.compile(rb"[\x00-\x1f\x7f/\\]")

#: Headers that frame the message, authenticate it, or change its method.
OURS: Final = frozenset(
    {
        *("host", "content-length", "transfer-encoding", "content-encoding", "content-type"),
        *("connection", "keep-alive", "proxy-connection", "upgrade", "te", "trailer", "expect"),
        *("authorization", "proxy-authorization", "cookie", "accept-encoding"),
        *("x-http-method-override", "x-http-method", "x-method-override"),
    }
)


def checked_path(path: str) -> str:
    """Return ``path`` unchanged. Raises `ConfigurationError` if it might arrive as another path."""
    problem = _problem_of(path)
    if problem:
        raise ConfigurationError(f"path {path!r} {problem}")
    return path


@lru_cache(1024)  # programs call few paths, and checking one costs a twentieth of a call
def _problem_of(path: str) -> str:
    if not path.startswith("/") or "?" in path:
        return "must begin with / and contain no query; pass query=... instead"
    if not _PATH.fullmatch(path):
        return (
            "contains a character that is not allowed in a path, such as #, a space, a backslash "
            "or a letter with an accent; percent-encode it"
        )
    segments = path[1:].split("/")
    if "" in segments:
        return "has an empty segment; an id is missing"
    if any(_is_hidden(segment) for segment in segments):
        return "must not contain . or .. or an encoded slash, backslash or control character"
    return ""


def _is_hidden(segment: str) -> bool:
    """Whether a decoded segment means something other than a name."""
    text = segment.encode()
    while True:
        if text.partition(b";")[0].strip() in _DOTS or _HIDDEN.search(text):
            return True
        decoded = unquote_to_bytes(text)
        if decoded == text:
            return False
        text = decoded


def quoted_id(name: str, value: object) -> str:
    """Quote an id as one segment of a path. ``name`` is the parameter's name.

    Raises `ValueError` if the id is empty, because the path would be that of another operation, or
    if it would not arrive as one segment. Raises `TypeError` if it is neither str nor int.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError(f"{name} must be a str or int id, got {type(value).__name__}")
    text = str(value).strip()
    if not text:
        raise ValueError(f"{name} must be an id, got {value!r}")
    parts = re.split(r"[/\\]", text)
    if _CONTROL.search(text) or "\t" in text or any(each.strip() in (".", "..") for each in parts):
        raise ValueError(
            f"{name} must be an id without slashes or control characters, got {value!r}"
        )
    return quote(text, safe="")


def checked_headers(
    headers: Mapping[str, str], organization_headers: Iterable[str] = ()
) -> Mapping[str, str]:
    """Return ``headers`` unchanged. ``organization_headers`` are those that name an organization.

    Raises `ConfigurationError` that names the header, never its value.
    """
    of_organization = {name.lower() for name in organization_headers}
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ConfigurationError(f"{name!r} is not a valid header name")
        if name.lower() in OURS:
            raise ConfigurationError(f"the client sets the header {name}; leave it out")
        if name.lower() in of_organization:
            raise ConfigurationError(
                f"the header {name} names an organization; use for_organization(...)"
            )
        if _CONTROL.search(value):
            raise ConfigurationError(f"the header {name} contains a control character; remove it")
    return headers


def checked_query(query: Mapping[str, str], organization_query: str) -> Mapping[str, str]:
    """Return ``query`` unchanged. Raises `ConfigurationError` if it names an organization."""
    if organization_query and organization_query in query:
        raise ConfigurationError(
            f"the parameter {organization_query} names an organization; use for_organization(...)"
        )
    return query
