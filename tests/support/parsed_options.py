"""Describe the options of each command once per process, not once per command line.

cyclopts builds the description of a command's options for each command line. That takes 60 ms for
`export`. A process of the command parses one line, and these tests parse hundreds. A description
has two parts: what the function declares, which is kept, and what the line gave, which is removed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from cyclopts import App, Parameter
from cyclopts.argument import ArgumentCollection
from cyclopts.utils import UNSET

_assemble: Final = App.assemble_argument_collection
_known: Final[dict[tuple[Callable[..., Any], bool], ArgumentCollection]] = {}


def describe_once() -> None:
    """Keep the descriptions from now on."""
    App.assemble_argument_collection = _described  # type: ignore[method-assign, assignment]


def _described(
    app: App, *, default_parameter: Parameter | None = None, parse_docstring: bool = False
) -> ArgumentCollection:
    function = app.default_command
    if function is None or default_parameter is not None:
        return _assemble(app, default_parameter=default_parameter, parse_docstring=parse_docstring)
    key = (function, parse_docstring)
    if key not in _known:
        _known[key] = _assemble(app, parse_docstring=parse_docstring)
    for argument in _known[key]:
        argument.tokens = []
        argument.value = UNSET
        argument._marked_converted = argument._mark_converted_override = False
    return ArgumentCollection(_known[key])  # type: ignore[no-untyped-call]
