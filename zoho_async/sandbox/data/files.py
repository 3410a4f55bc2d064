"""Uploaded files, and the small valid documents that stand in for Zoho's printed ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from email import message_from_bytes
from email.policy import HTTP
from typing import Final

import msgspec

from zoho_async.sandbox.replies import ApiRefusal

#: The file types that Zoho accepts, up to 10 MB each.
_TYPES: Final = {
    "gif": "image/gif",
    "png": "image/png",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "bmp": "image/bmp",
    "pdf": "application/pdf",
}
_LARGEST: Final = 10_000_000
_UNSAFE: Final = re.compile(r"[^\w .()-]+")


class File(msgspec.Struct, frozen=True):
    """An uploaded document: the form's ``field``, the file's ``name``, its type and bytes."""

    field: str
    name: str
    content_type: str
    content: bytes


class UploadedForm(msgspec.Struct, frozen=True):
    """The files and plain fields of a multipart form."""

    files: tuple[File, ...] = ()
    fields: dict[str, str] = {}


def form_of(content_type: str, body: bytes) -> UploadedForm:
    """Parse a multipart body; any other body gives an empty form.

    Raises `ApiRefusal` for a file of a type or size that Zoho does not accept.
    """
    if not content_type.startswith("multipart/"):
        return UploadedForm()
    whole = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body, policy=HTTP)
    files: list[File] = []
    fields: dict[str, str] = {}
    for part in whole.iter_parts():
        content = part.get_payload(decode=True)
        name = str(part.get_param("name", "", header="content-disposition"))
        if not isinstance(content, bytes):
            continue
        if part.get_filename() is None:
            fields[name] = content.decode(errors="replace")
        else:
            files.append(_taken(name, str(part.get_filename()), content))
    return UploadedForm(tuple(files), fields)


def _taken(field: str, name: str, content: bytes) -> File:
    ending = name.rpartition(".")[2].lower()
    if ending not in _TYPES or len(content) > _LARGEST:
        raise ApiRefusal(400, 4, f"Invalid value passed for {field}")
    return File(field, name, _TYPES[ending], content)


def printed(path: str, accept: str, lines: Sequence[str]) -> tuple[str, str, bytes]:
    """Make a document for a path: its media type, file name and bytes."""
    name = _UNSAFE.sub("-", path.strip("/").replace("/", "-")) or "document"
    if "html" in accept and "pdf" not in accept:
        items = "".join(f"<p>{_escaped(line)}</p>" for line in lines)
        page = f"<!DOCTYPE html><html><head><title>{_escaped(name)}</title></head>"
        return (
            "text/html;charset=UTF-8",
            f"{name}.html",
            f"{page}<body>{items}</body></html>".encode(),
        )
    if "csv" in accept:
        rows = "\r\n".join('"' + line.replace('"', '""') + '"' for line in ("Line", *lines))
        return "text/csv;charset=UTF-8", f"{name}.csv", f"{rows}\r\n".encode()
    return "application/pdf", f"{name}.pdf", pdf(lines)


def pdf(lines: Sequence[str]) -> bytes:
    """Make a one-page PDF of these lines; characters outside ASCII are replaced."""
    shown = [re.sub(r"([\\()])", r"\\\1", line).encode("ascii", "replace") for line in lines]
    text = b"BT /F1 11 Tf 50 800 Td 14 TL " + b" ".join(b"(%b) ' " % line for line in shown) + b"ET"
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(text), text),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    )
    whole = b"%PDF-1.4\n"
    starts: list[int] = []
    for number, each in enumerate(objects, 1):
        starts.append(len(whole))
        whole += b"%d 0 obj\n%b\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % start for start in starts)
    end = b"xref\n0 %d\n0000000000 65535 f \n%b" % (len(objects) + 1, table)
    trailer = b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
    return whole + end + trailer % (len(objects) + 1, len(whole))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
