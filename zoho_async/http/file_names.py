"""Turn outside text into safe names of files and folders.

Ids, file names and organization ids come from a server, which may be wrong or hostile. Outside text
becomes part of a path only through this module.

Model. `component` is for text that identifies something (an id): different texts get different
names, even if a file system ignores case or normalizes Unicode. `file_name` is for text that a
person reads (the name of a document): it is kept as far as every system can store it, and two texts
may get the same name. The code that saves files keeps those apart.

Invariant. Both return one path component that Linux, macOS and Windows can store: no separator, no
drive letter, no control or invisible character, no device name, no dot at its start or end, at most
`LONGEST` bytes of UTF-8.

Why it holds. `component` keeps only ``0-9 a-z -``. Any other text becomes its plain characters,
``~`` and 64 bits of a digest of all of it; a plain name has no ``~``. A `component` never has a
``_``, so a ``_`` can separate it from what follows.

A limit on names counts bytes (255 on Linux and macOS; 255 UTF-16 units on Windows, which are never
more than the bytes). A cut never divides a character and keeps the extension.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Final

#: Longest name in bytes. The rest of 255 leaves room for a number or an id.
LONGEST: Final = 200

_LONGEST_EXTENSION: Final = 20
_PLAIN: Final = re.compile(r"[0-9a-z][0-9a-z-]{0,39}")
_DEVICE: Final = re.compile(
    r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(\.|$)"
)
_FORBIDDEN: Final = re.compile(r'[<>:"|?*]')


def component(identity: str) -> str:
    """Return a file or folder name for what ``identity`` identifies.

    >>> component("460000000026049"), component("../../victim")
    ('460000000026049', 'victim~2cc6427d2e88ec99')
    """
    if _PLAIN.fullmatch(identity) and not _DEVICE.match(identity):
        return identity
    kept = re.sub(r"[^0-9A-Za-z]+", "-", identity).strip("-")[:24]
    whole = identity.encode("utf-8", "surrogatepass")
    return f"{kept}~{hashlib.blake2b(whole, digest_size=8).hexdigest()}"


def file_name(text: str, fallback: str, most: int = LONGEST) -> str:
    """Return ``text`` as a file name of at most ``most`` bytes, or ``fallback`` if nothing is left.

    >>> file_name("../../etc/May: 50%?.pdf", "document.bin")
    'May_ 50%_.pdf'
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", text))[-1]
    shown = "".join(
        each if each.isprintable() else " " * (unicodedata.category(each) == "Zs") for each in last
    )
    name = _FORBIDDEN.sub("_", shown).strip(" .")
    if name.startswith("-"):  # a command would read it as an option
        name = f"_{name[1:]}"
    if _DEVICE.match(name):
        name = f"_{name}"
    return _cut(name, most) or fallback


def _cut(name: str, most: int) -> str:
    """Shorten ``name`` to ``most`` bytes and keep its extension."""
    if len(name.encode()) <= most:
        return name
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > min(_LONGEST_EXTENSION, most - 2):
        stem, dot, extension = name, "", ""
    end = f"{dot}{extension}"
    kept = stem.encode()[: most - len(end.encode())].decode(errors="ignore")
    return kept.rstrip(" .") + end


def disposition_name(header: str) -> str:
    """The file name in a Content-Disposition header, unchanged; "" if it has none.

    The encoded form (``filename*=``) wins if both are present. Encoded words (RFC 2047), which many
    servers send in ``filename=``, are decoded.
    """
    from email.message import Message  # needed for documents only
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
