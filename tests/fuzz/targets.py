"""The fuzz targets by name. Each takes bytes and raises if the package breaks its promise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tests.fuzz import (
    account_parsers,
    file_parsers,
    json_parsers,
    text_parsers,
    webhook_parsers,
)

TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    "blanks": json_parsers.blanks,
    "envelope": json_parsers.envelope,
    "page": json_parsers.page,
    "record": json_parsers.record,
    "headers": text_parsers.headers,
    "names": text_parsers.names,
    "signature": webhook_parsers.signature,
    "event": webhook_parsers.event,
    "token": account_parsers.token,
    "xml": account_parsers.xml,
    "checkpoint": file_parsers.checkpoint,
    "accounts": file_parsers.accounts,
    "database": file_parsers.database,
}
