"""What is written to Zoho: structs in which only what was set is sent."""

from __future__ import annotations

from typing import Any, Self

import msgspec


class Input(msgspec.Struct, kw_only=True):
    """Fields for Zoho to write. What is `msgspec.UNSET` is not sent; ``None`` is sent as null."""

    @classmethod
    def of(cls, record: msgspec.Struct, **changes: Any) -> Self:
        """What of ``record`` may be sent back, with ``changes``."""
        raise NotImplementedError
