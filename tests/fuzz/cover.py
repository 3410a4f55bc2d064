"""Choose few inputs that together execute each step between two lines that any input executes.

libFuzzer's own way to minimize a corpus starts the program again by its file, which Atheris cannot
do for a module.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import CodeType, FrameType
from typing import Any, Final, TypeAlias

#: A step: the code, the line before and the line.
Step: TypeAlias = tuple[CodeType, int, int]

_PACKAGE: Final = "zoho_async"


def smallest_cover(target: Callable[[bytes], None], inputs: Iterable[bytes]) -> list[bytes]:
    """Return inputs that execute all steps of the package that ``inputs`` execute.

    The smaller ones come first, and an input is kept if it has a step that none before had.
    """
    reached: set[Step] = set()
    kept: list[bytes] = []
    for each in sorted(set(inputs), key=lambda one: (len(one), one)):
        steps = steps_of(target, each)
        if not steps <= reached:
            reached |= steps
            kept.append(each)
    return kept


def steps_of(target: Callable[[bytes], None], data: bytes) -> set[Step]:
    """Return the steps of the package that ``target`` executes for ``data``."""
    steps: set[Step] = set()

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if _PACKAGE not in frame.f_code.co_filename:
            return None
        last = frame.f_lineno

        def line(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal last
            if event == "line":
                steps.add((frame.f_code, last, frame.f_lineno))
                last = frame.f_lineno
            return line

        return line

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        target(data)
    finally:
        sys.settrace(before)
    return steps
