"""Progress in a terminal: one bar per resource, and the figures of the job."""

from __future__ import annotations

from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from zoho_async.cli.lines import details_line, feed_line, plan_lines, since_line, waiting_line
from zoho_async.cli.output import count
from zoho_async.cli.progress import ListProgress, Tracker
from zoho_async.cli.safe import safe
from zoho_async.export import (
    ChangeFeedRead,
    DetailsPlanned,
    ExportEvent,
    Planned,
    SinceMidnight,
    WaitingForReset,
)

#: The most resources shown. Resources in progress come first.
_MOST: Final = 16


class Terminal:
    """Redraws itself several times a second while it is entered."""

    def __init__(self, tracker: Tracker, console: Console) -> None:
        self._tracker: Final = tracker
        self._console: Final = console
        utf = console.encoding.startswith("utf")
        self._spinner: Final = Spinner("dots" if utf else "line")
        self._live: Final = Live(
            console=console, refresh_per_second=8, get_renderable=self._render, transient=True
        )

    def __enter__(self) -> Terminal:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, event: ExportEvent) -> None:
        """Print the events that stay on the screen. The tracker holds everything else."""
        if isinstance(event, Planned):
            for line in plan_lines(event):
                self._console.print(self._text(line))
        elif isinstance(event, DetailsPlanned):
            self._console.print(self._text(details_line(event)))
        elif isinstance(event, SinceMidnight):
            self._console.print(self._text(since_line(event)))
        elif isinstance(event, ChangeFeedRead):
            self._console.print(self._text(feed_line(event)))
        elif isinstance(event, WaitingForReset):
            self._console.print(self._text(waiting_line(event), "yellow"))

    def note(self, text: str) -> None:
        """Print ``text``."""
        self._console.print(self._text(text, "yellow"))

    def tick(self) -> None:
        """Do nothing: the display redraws itself."""

    def _text(self, text: str, style: str = "") -> Text:
        """Text without markup and control characters."""
        return Text(safe(text, encoding=self._console.encoding), style=style)

    def _render(self) -> RenderableType:
        figures = self._text("  ".join(self._tracker.figures()), "dim")
        figures.overflow = "fold"
        if self._tracker.plan is None:
            self._spinner.update(text=figures)
            return self._spinner
        return Group(self._bars(), figures)

    def _bars(self) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(width=24)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis")
        progress = list(self._tracker.resources.values())
        shown = sorted(progress, key=lambda one: one.state != "reading")[:_MOST]
        for one in (one for one in progress if one in shown):
            table.add_row(
                self._text(one.resource), self._bar(one), self._rows(one), self._state(one)
            )
        if len(progress) > len(shown):
            table.add_row(f"and {len(progress) - len(shown)} more")
        return table

    def _bar(self, one: ListProgress) -> RenderableType:
        if one.total is None and one.state == "reading":
            return ProgressBar(total=None, pulse=True, width=24)
        return ProgressBar(total=one.total or 1, completed=one.rows if one.total else 1)

    def _rows(self, one: ListProgress) -> str:
        if one.total is None or one.rows == one.total:
            return count(one.rows, "row")
        return f"{count(one.rows)} of {count(one.total, 'row')}"

    def _state(self, one: ListProgress) -> Text:
        if one.state == "failed":
            return self._text(one.error, "red")
        if one.state == "not allowed":
            return Text("not allowed by the token's scopes", style="dim")
        if one.state == "refused as before":
            return Text(one.state, style="dim")
        return self._text(one.note if one.state == "reading" else one.state, "green")
