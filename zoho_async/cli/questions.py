"""Questions on stderr, so that stdout stays free for results. Input of secrets is hidden."""

from __future__ import annotations

import getpass
import shutil
import sys
import textwrap
from collections.abc import Sequence

from zoho_async.cli.safe import print, safe, say
from zoho_async.errors import ConfigurationError


def explain(text: str, *lines: str) -> None:
    """Print a text that is wrapped at words, and ``lines`` to copy, which are not."""
    width = max(40, shutil.get_terminal_size().columns - 1)
    for line in textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False):
        say(line)
    for line in lines:
        say(f"  {line}")


def ask(question: str, *, default: str = "", optional: bool = False) -> str:
    """The answer to ``question``. Enter means ``default``.

    Without a default it asks again, unless the answer is ``optional``. Raises `ConfigurationError`
    at the end of the input.
    """
    suffix = f" [{default}]" if default else ""
    while True:
        print(f"{question}{suffix}: ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            raise _no_answer()
        answer = line.strip() or default
        if answer or optional:
            return answer


def ask_secret(question: str, *, optional: bool = False) -> str:
    """A secret. The terminal does not show it. "" if it is ``optional`` and left out.

    Raises `ConfigurationError` at the end of the input.
    """
    note = "not shown; Enter if there is no secret" if optional else "not shown"
    if not sys.stdin.isatty():
        return ask(question, optional=optional)
    while True:
        try:
            answer = getpass.getpass(safe(f"{question} ({note}): "), stream=sys.stderr).strip()
        except EOFError:  # Ctrl-D
            raise _no_answer() from None
        if answer or optional:
            return answer


def _no_answer() -> ConfigurationError:
    """The input ended. In a terminal the cursor is still on the line of the question."""
    if sys.stdin.isatty():
        say("")
    return ConfigurationError("no answer on stdin: run this in a terminal and answer the questions")


def choose(question: str, choices: Sequence[str], *, default: int = 0) -> int:
    """The index of the choice whose number the user enters."""
    for number, choice in enumerate(choices, 1):
        say(f"  {number}. {choice}")
    while True:
        answer = ask(question, default=str(default + 1))
        if answer.isdecimal() and 1 <= int(answer) <= len(choices):
            return int(answer) - 1
        say(f"enter a number from 1 to {len(choices)}")
