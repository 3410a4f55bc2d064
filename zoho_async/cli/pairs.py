"""``name=value`` options."""

from __future__ import annotations

from collections.abc import Sequence

from zoho_async.errors import ConfigurationError


def read_pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """``["status=overdue"]`` as a mapping. Raises `ConfigurationError` for any other text."""
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ConfigurationError(f"{option} takes name=value, got {text!r}")
        pairs[name] = value
    return pairs
