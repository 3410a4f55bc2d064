"""Draws ``export.svg``: the terminal of a running export, as a program sees it.

    python docs/images/make.py

It runs ``zoho-async export --sandbox`` in a terminal of its own, on a clock that is not hurried,
reads the screen some seconds into it, and draws that with rich. Nothing of the picture is made up.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import pexpect  # type: ignore[import-untyped]  # it has no types
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

HERE: Final = Path(__file__).parent
WIDTH: Final = 96
#: Seconds into the run: a good part of the invoices is there, the small lists are done.
MOMENT: Final = 17.0
COMMAND: Final = "zoho-async export --sandbox --to export"
THEME: Final = TerminalTheme(
    (255, 255, 255),
    (36, 41, 47),
    [
        (36, 41, 47),
        (207, 34, 46),
        (17, 99, 41),
        (154, 103, 0),
        (9, 105, 218),
        (130, 80, 223),
        (27, 124, 131),
        (110, 119, 129),
    ],
)


def screen() -> str:
    """What the terminal shows at `MOMENT`: the last frame that was drawn before it."""
    with tempfile.TemporaryDirectory() as folder:
        child = pexpect.spawn(
            sys.executable,
            ["-m", "zoho_async.cli", *COMMAND.split()[1:]],
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": str(HERE.parents[1]),
                "TERM": "xterm-256color",
                "COLUMNS": str(WIDTH),
                "ZOHO_ASYNC_LEDGER": str(Path(folder, "limits")),
            },
            dimensions=(40, WIDTH),
            encoding="utf-8",
            timeout=1,
        )
        read = ""
        end = time.monotonic() + MOMENT
        while time.monotonic() < end:
            try:
                read += child.read_nonblocking(4096, timeout=0.2)
            except pexpect.TIMEOUT:
                continue
        child.close(force=True)
    return last_frame(read)


def last_frame(read: str) -> str:
    """The lines on the screen after ``read``, of which the last part may be half a frame."""
    frames = list(re.finditer(r"\r\x1b\[2K(?:\x1b\[1A\x1b\[2K)+", read))
    whole = read[: frames[-1].start()]  # a frame ends where the next one goes back up
    lines: list[str] = [""]
    at = 0
    for piece in re.split(r"(\x1b\[\d*A|\x1b\[2K|\x1b\[\?25[lh]|\r|\n)", whole):
        if piece.endswith("A") and piece.startswith("\x1b["):
            at = max(0, at - int(piece[2:-1] or 1))
        elif piece == "\x1b[2K":
            lines[at] = ""
        elif piece == "\n":
            at += 1
            if at == len(lines):
                lines.append("")
        elif piece != "\r" and not piece.startswith("\x1b[?25"):
            lines[at] += piece
    return "\n".join(lines).rstrip()


def main() -> None:
    console = Console(record=True, width=WIDTH, file=Path(os.devnull).open("w"))  # noqa: SIM115
    console.print(Text(f"$ {COMMAND}", style="bold"))
    console.print(Text.from_ansi(screen()), "")
    picture = console.export_svg(title="zoho-async", theme=THEME, unique_id="export")
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)  # fetches nothing
    picture = picture.replace("Fira Code", "Menlo, Consolas, DejaVu Sans Mono")
    (HERE / "export.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
