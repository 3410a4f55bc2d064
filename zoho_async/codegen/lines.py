"""Python source text in the layout of the project's formatter."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Final

WIDTH: Final = 100


def docstring(text: str, indent: str = "", arguments: Sequence[tuple[str, str]] = ()) -> list[str]:
    """A docstring with wrapped paragraphs, and a section for ``arguments``."""
    if arguments:
        section = [line for name, about in arguments for line in _entry(name, about, indent)]
        above = docstring(f"{text}\n\n-", indent)[:-2]  # in the form of several paragraphs
        return [*above, f"{indent}Args:", *section, f'{indent}"""']
    paragraphs = [part for part in text.split("\n\n") if part.strip()]
    only = f'{indent}"""{paragraphs[0]}"""'
    if len(paragraphs) == 1 and len(only) <= WIDTH:
        return [only]
    lines: list[str] = []
    for number, paragraph in enumerate(paragraphs):
        # The first line has the quotes before it; alone, it would have them behind it as well.
        room = WIDTH - len(indent) - (3 if number == 0 else 0) - (3 if len(paragraphs) == 1 else 0)
        wrapped = textwrap.wrap(" ".join(paragraph.split()), room, break_long_words=False)
        lines += ([""] if number else []) + [f"{indent}{line}" for line in wrapped]
    lines[0] = f'{indent}"""{lines[0].strip()}'
    return [*lines, f'{indent}"""']


def _entry(name: str, about: str, indent: str) -> list[str]:
    """One argument of a docstring's section."""
    return textwrap.wrap(
        f"{name}: {about}",
        WIDTH,
        initial_indent=f"{indent}    ",
        subsequent_indent=f"{indent}        ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def imported(module: str, names: Iterable[str]) -> list[str]:
    """``from module import names``, sorted as the linter requires."""
    ordered = sorted(in_order(set(names)), key=lambda name: (_rank(name), name.lower()))
    if not ordered:
        return []
    line = f"from {module} import {', '.join(ordered)}"
    if len(line) <= WIDTH:
        return [line]
    return [f"from {module} import (", *(f"    {name}," for name in ordered), ")"]


def in_order(names: Iterable[str]) -> list[str]:
    """Sort names as imports do: constants, classes, then the rest."""
    return sorted(names, key=lambda name: (_rank(name), name))


def _rank(name: str) -> int:
    return 0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2


def literal(values: Sequence[str]) -> str:
    """``Literal["a", "b"]`` in one line."""
    return f"Literal[{', '.join(quoted(value) for value in values)}]"


def alias(name: str, values: Sequence[str]) -> list[str]:
    """A name for a ``Literal`` that is too long for its place."""
    line = f"{name}: TypeAlias = {literal(values)}"
    if len(line) <= WIDTH:
        return [line]
    inner = f"    {', '.join(quoted(value) for value in values)}"
    if len(inner) <= WIDTH:
        return [f"{name}: TypeAlias = Literal[", inner, "]"]
    return [
        f"{name}: TypeAlias = Literal[",
        *(f"    {quoted(value)}," for value in values),
        "]",
    ]


def quoted(text: str) -> str:
    """A string literal."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def mapping(pairs: Sequence[tuple[str, str]], spread: str = "") -> tuple[str, list[str]]:
    """A dict as one line and as many lines (without indentation)."""
    parts = [f"{quoted(key)}: {value}" for key, value in pairs]
    if spread:
        parts.append(f"**({spread} or {{}})")
    return "{" + ", ".join(parts) + "}", ["{", *(f"    {part}," for part in parts), "}"]


def called(
    head: str, arguments: Sequence[tuple[str, list[str]]], indent: str, tail: str = ")"
) -> list[str]:
    """``head(arguments)``; each argument is given as one line and, if it can be broken, as several.

    The call takes one line if it fits, else one line per argument.
    """
    flat = f"{indent}{head}({', '.join(short for short, _ in arguments)}{tail}"
    if len(flat) <= WIDTH:
        return [flat]
    joined = f"{indent}    {', '.join(short for short, _ in arguments)}"
    if len(joined) <= WIDTH:
        return [f"{indent}{head}(", joined, f"{indent}{tail}"]
    lines = [f"{indent}{head}("]
    for short, many in arguments:
        if len(indent) + 5 + len(short) <= WIDTH or not many:
            lines.append(f"{indent}    {short},")
        else:
            lines += [f"{indent}    {line}" for line in many[:-1]]
            lines.append(f"{indent}    {many[-1]},")
    return [*lines, f"{indent}{tail}"]
