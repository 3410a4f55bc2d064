"""From values to what Zoho reads: JSON bodies and query parameters."""

from __future__ import annotations

from collections.abc import Mapping


def encode(value: object) -> bytes:
    """``value`` as a JSON body."""
    raise NotImplementedError


def query(params: Mapping[str, object]) -> dict[str, str]:
    """``params`` as the text of a query."""
    raise NotImplementedError
