"""The first failure of a task group, without the group around it."""

from __future__ import annotations

from typing import cast


def first_failure(failure: BaseException) -> BaseException:
    """Return the first failure of a task group, at any depth; any other failure as it is."""
    if not isinstance(failure, BaseExceptionGroup):
        return failure
    group = cast("BaseExceptionGroup[BaseException]", failure)
    return first_failure(group.exceptions[0])
