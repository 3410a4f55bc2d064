"""How many examples a plain run tries."""

from __future__ import annotations

from hypothesis import settings


def examples(number: int) -> int:
    """``number`` with ``--hypothesis-profile thorough``, which ``.ci/run`` uses, else a part of it.

    ``tests/conftest.py`` has the profiles.
    """
    return max(1, number * settings().max_examples // 100)
