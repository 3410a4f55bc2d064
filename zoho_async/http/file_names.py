"""Names from outside as names of files and folders.

Ids, file names and organization ids come from a server, and a server may be wrong or hostile. No
text from outside becomes a part of a path but through this module.

Model. `component` is for text that identifies something (an id): different texts get different
names, also where a file system ignores case or normalizes Unicode. `file_name` is for text that a
person reads (the name of a document): it is kept as far as every system can store it, and two texts
may get the same name. Who saves files keeps those apart.

Invariant. Both give one path component that Linux, macOS and Windows can store: no separator, no
drive letter, no control or invisible character, no name of a device, no dot at its start or end, at
most `LONGEST` bytes of UTF-8.

Why it holds. `component` lets only ``0-9 a-z -`` through as they are. Any other text becomes its
plain characters, ``~`` and 64 bits of a digest of all of it; a plain name has no ``~``. No
`component` has a ``_``, so one can be told from what follows it there.

A limit on names counts bytes (255 on Linux and macOS; 255 UTF-16 units on Windows, which are never
more than the bytes). A cut never divides a character and keeps the extension.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Final

#: Bytes of a name; what is left of 255 is for a number or an id that is added to it.
LONGEST: Final = 200

_LONGEST_EXTENSION: Final = 20
_PLAIN: Final = re.compile(r"[0-9a-z][0-9a-z-]{0,39}")
_DEVICE: Final = re.compile(
    r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(\.|$)"
)
_FORBIDDEN: Final = re.compile(r'[<>:"|?*]')


def component(identity: str) -> str:
    """The name of a file or folder for what ``identity`` identifies.

    >>> component("460000000026049"), component("../../victim")
    ('460000000026049', 'victim~2cc6427d2e88ec99')
    """
    if _PLAIN.fullmatch(identity) and not _DEVICE.match(identity):
        return identity
    kept = re.sub(r"[^0-9A-Za-z]+", "-", identity).strip("-")[:24]
    whole = identity.encode("utf-8", "surrogatepass")
    return f"{kept}~{hashlib.blake2b(whole, digest_size=8).hexdigest()}"


def file_name(text: str, fallback: str, most: int = LONGEST) -> str:
    """``text`` as the name of a file in ``most`` bytes; ``fallback`` if nothing is left of it.

    >>> file_name("../../etc/May: 50%?.pdf", "document.bin")
    'May_ 50%_.pdf'
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", text))[-1]
    shown = "".join(
        each if each.isprintable() else " " * (unicodedata.category(each) == "Zs") for each in last
    )
    name = _FORBIDDEN.sub("_", shown).strip(" .")
    if name.startswith("-"):  # a command would take it for an option
        name = f"_{name[1:]}"
    if _DEVICE.match(name):
        name = f"_{name}"
    return _cut(name, most) or fallback


def _cut(name: str, most: int) -> str:
    """``name`` in ``most`` bytes with its extension."""
    if len(name.encode()) <= most:
        return name
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > _LONGEST_EXTENSION:
        stem, dot, extension = name, "", ""
    end = f"{dot}{extension}"
    kept = stem.encode()[: most - len(end.encode())].decode(errors="ignore")
    return kept.rstrip(" .") + end


def disposition_name(header: str) -> str:
    """The file name that a Content-Disposition header tells, as it is written there; "" for none.

    The encoded form (``filename*=``) counts if both are there. Encoded words (RFC 2047), which
    many servers send in ``filename=``, are decoded.
    """
    from email.message import Message  # programs that get no documents do not load it
    from email.utils import collapse_rfc2231_value

    try:
        raw = header.encode("utf-8", "surrogateescape")  # the bytes as they came
    except UnicodeEncodeError:
        raw = header.encode("utf-8", "replace")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    message = Message()
    message["Content-Disposition"] = "".join(each for each in text if each not in "\r\n\0")
    found = message.get_params(failobj=None, header="content-disposition") or []
    values: list[str | tuple[str | None, str | None, str]] = [
        value for name, value in found if name.lower() == "filename"
    ]
    for value in sorted(values, key=lambda value: isinstance(value, str)):
        name = collapse_rfc2231_value(value)
        if name:
            return _words_decoded(name) if isinstance(value, str) else name
    return ""


def _words_decoded(text: str) -> str:
    if "=?" not in text:
        return text
    from email.errors import MessageError
    from email.header import decode_header, make_header

    try:
        return str(make_header(decode_header(text)))
    except (MessageError, ValueError, LookupError):
        return text
