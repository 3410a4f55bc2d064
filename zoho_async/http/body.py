"""Build the body of a call: JSON, a form field that holds JSON, or a multipart form with files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from msgspec import UNSET

from zoho_async.http.call import FORM, JSON
from zoho_async.http.transport import Body
from zoho_async.http.upload import MultipartForm, Upload, checked
from zoho_async.operation import Operation
from zoho_async.wire import encode, query


async def body_of(
    operation: Operation[Any],
    body: object,
    extra: Mapping[str, object] | None,
    fields: Mapping[str, object] | None,
    files: Mapping[str, Upload | None] | None,
) -> tuple[Body, str]:
    """Return the body to send (None: no body) and its media type.

    A multipart form brings its own type. Raises `TypeError` and `ValueError` for values that cannot
    be sent and files that Zoho does not accept, `OSError` for files that cannot be read.
    """
    encoded = _encoded(body, extra)
    texts = query(fields or {})
    uploads = {name: file for name, file in (files or {}).items() if file is not None}
    if uploads or texts:
        if encoded is not None:
            texts["JSONString"] = encoded.decode()
        return await _form(operation, texts, uploads), ""
    if operation.form:
        text = quote((encoded or b"{}").decode(), safe="")
        return f"{operation.form}={text}".encode(), FORM
    return encoded, JSON


def _encoded(body: object, extra: Mapping[str, object] | None) -> bytes | None:
    if body is not UNSET:
        return encode(body, extra)
    return encode(extra) if extra else None


async def _form(
    operation: Operation[Any], texts: Mapping[str, str], uploads: Mapping[str, Upload]
) -> MultipartForm:
    lengths: dict[str, int | None] = {}
    for name, file in uploads.items():
        lengths[name] = await file.length()
        checked(file, lengths[name], operation.file_types, operation.file_size)
    return MultipartForm(texts, uploads, lengths=lengths, most=operation.file_size)
