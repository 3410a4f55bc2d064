"""``zoho-async export``: runs an `Export`, shows its progress and returns the exit code."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import date, datetime
from pathlib import Path
from typing import Final, Protocol

import anyio
import msgspec
from rich.console import Console

from zoho_async.auth.profiles import chosen_profile
from zoho_async.cli import outcome, report
from zoho_async.cli.connect import ConnectionOptions, connected
from zoho_async.cli.lines import Lines
from zoho_async.cli.options import read_pairs
from zoho_async.cli.outcome import Interrupted, interruptible
from zoho_async.cli.output import count
from zoho_async.cli.progress import Tracker
from zoho_async.cli.safe import print
from zoho_async.cli.terminal import Terminal
from zoho_async.errors import ConfigurationError, ZohoError
from zoho_async.export import (
    Destination,
    Export,
    ExportEvent,
    Exports,
    Planned,
    Summary,
    open_destination,
)
from zoho_async.export.catalog import all_lists, check_filters, exportable, resolve
from zoho_async.export.destinations import PostgreSql
from zoho_async.export.errors import DestinationChanged, problem_of
from zoho_async.export.job import accepted
from zoho_async.limits import Snapshot
from zoho_async.session import Session

#: Options that take no value.
_FLAGS: Final = frozenset(
    {
        *(
            "--flatten",
            "--sandbox",
            "--json",
            "--restart",
            "--full",
            "--detect-deletions",
            "--details",
        ),
        *("--files", "--strict", "--accept-shorter", "--until-done", "--all-organizations"),
    }
)
#: Seconds between two refreshes of the limits.
_REFRESH: Final = 0.5


class ExportOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of one export."""

    resources: tuple[str, ...]
    to: str
    format: str | None = None
    flatten: bool = False
    filters: Sequence[str] = ()
    restart: bool = False
    full: bool = False
    since: str | None = None
    detect_deletions: bool = False
    max_deletion_checks: int | None = None
    details: bool = False
    files: Path | bool = False
    strict: bool = False
    accept: Sequence[str] = ()
    accept_shorter: bool = False
    max_calls: int | None = None
    until_done: bool = False
    all_organizations: bool = False


class Display(Protocol):
    """Shows progress."""

    def __enter__(self) -> Display: ...
    def __exit__(self, *_: object) -> None: ...

    def show(self, event: ExportEvent) -> None:
        """Show ``event``."""
        ...

    def note(self, text: str) -> None:
        """Print ``text`` once."""
        ...

    def tick(self) -> None:
        """Update the figures."""
        ...


def export(
    order: ExportOptions,
    wanted: ConnectionOptions,
    *,
    environ: Mapping[str, str],
    command: Sequence[str],
    json: bool,
) -> int:
    """Run the export and print its result; the exit code.

    ``command`` holds the arguments of the process. They make the command that continues the export.
    """
    run = _Run(order, wanted, environ)
    error = run.run()
    summary = run.summary
    sentence = str(error) if error is not None else None
    problems: list[str] = []
    if error is not None:
        code = outcome.exit_code(error, began=summary is not None)
    else:
        code = outcome.DONE if summary is None else summary.exit_code
    if summary is not None:
        ended = [one for one in summary.incomplete if one.state not in ("stopped", "unfinished")]
        problems = [problem_of(one) for one in ended]
        if error is None and ended:
            sentence = f"not complete: {', '.join(one.resource for one in ended)}"
    if isinstance(error, Interrupted):
        sentence = "interrupted; written rows are kept"
    next_command = _continuing(order, command, error, summary, code)
    if summary is not None and not json:
        print("\n".join(report.as_lines(summary)))
    for problem in problems:
        print(f"zoho-async: {problem}", file=sys.stderr)
    if sentence:
        print(f"zoho-async: {sentence}", file=sys.stderr)
    if next_command:
        print(f"continue with: {next_command}", file=sys.stderr)
    elif summary is not None and code == outcome.DONE and not json:
        for line in next_step(order, summary, sandbox=wanted.sandbox):
            print(line)
    if json:
        print(report.as_json(summary, code=code, error=sentence, next_command=next_command))
    return code


def _continuing(
    order: ExportOptions,
    command: Sequence[str],
    error: ZohoError | Interrupted | None,
    summary: Summary | None,
    code: int,
) -> str | None:
    """The command with which to continue, None if there is nothing to continue."""
    if isinstance(error, DestinationChanged):
        words = [*_of_one(error.resource, order, command), error.option]
    elif summary is not None and code not in (outcome.DONE, outcome.INCOMPLETE, outcome.USAGE):
        words = [one for one in command if one != "--restart"]
    else:
        return None
    return shlex.join(["zoho-async", *words])


def _of_one(resource: str, order: ExportOptions, command: Sequence[str]) -> list[str]:
    """``command`` for ``resource`` alone."""
    head, *words = command
    named = list(order.resources)
    rest: list[str] = []
    before = ""
    for word in words:
        if word in named and (before in _FLAGS or not before.startswith("--") or "=" in before):
            named.remove(word)
        else:
            rest.append(word)
        before = word
    return [head, resource, *rest]


class _Run:
    """One run. ``summary`` is set when a job that was entered has ended."""

    def __init__(
        self,
        order: ExportOptions,
        wanted: ConnectionOptions,
        environ: Mapping[str, str],
    ) -> None:
        self.summary: Summary | None = None
        self._order: Final = order
        self._wanted: Final = wanted
        self._environ: Final = environ
        self._tracker: Final = Tracker()

    def run(self) -> ZohoError | Interrupted | None:
        """Run to the end and return the error that ended the run early, if any."""
        try:
            check(self._order)
            asyncio.run(interruptible(self._work()))
        except (ZohoError, Interrupted) as error:
            return error
        return None

    async def _work(self) -> None:
        named = not self._order.all_organizations
        since = parse_moment(self._order.since)
        if since is not None and is_date(self._order.since or ""):
            print(f"--since is {since.isoformat()} (this computer's time zone)", file=sys.stderr)
        async with connected(
            self._wanted, self._environ, self._tracker.called, organization=named
        ) as zoho:
            if named:
                await self._export(zoho)
            else:
                await self._export_all(zoho)

    def _job(self, zoho: Session, to: Destination) -> Export:
        order = self._order
        files = order.files
        if isinstance(files, Path) and order.all_organizations:
            files /= zoho.organization or ""
        return Export(
            zoho,
            order.resources,
            to=to,
            filters=read_pairs(order.filters, "--filter"),
            since=parse_moment(order.since),
            scopes=known_scopes(self._wanted, self._environ),
            full=order.full,
            restart=order.restart,
            detect_deletions=order.detect_deletions,
            max_deletion_checks=order.max_deletion_checks,
            details=order.details,
            files=files,
            strict=order.strict,
            accept_short=accepted_short(order.accept),
            accept_shorter=order.accept_shorter,
            max_calls=order.max_calls,
            until_done=order.until_done,
        )

    async def _export(self, zoho: Session) -> None:
        order = self._order
        job = self._job(zoho, open_destination(order.to, order.format, order.flatten))
        try:
            async with job, self._displayed(zoho) as show:
                async for event in job:
                    show(event)
        finally:
            with suppress(RuntimeError):  # it was never entered
                self.summary = job.summary

    async def _export_all(self, zoho: Session) -> None:
        found = [each.id for each in await zoho.organizations()]
        order = self._order
        jobs = Exports(
            zoho,
            found,
            to=order.to,
            format=order.format,
            flatten=order.flatten,
            make=self._job,
        )
        try:
            async with jobs, self._displayed(zoho.for_organization(found[0])) as show:
                await jobs.follow(show)
        finally:
            with suppress(RuntimeError):
                self.summary = jobs.summary

    @asynccontextmanager
    async def _displayed(self, zoho: Session) -> AsyncGenerator[Callable[[ExportEvent], None]]:
        """Show progress on stderr; yields the function that shows an event."""
        tracker = self._tracker
        tracker.rate = zoho.rate
        with _display(tracker) as display:

            def show(event: ExportEvent) -> None:
                tracker.exported(event)
                display.show(event)
                waits = self._order.until_done
                if isinstance(event, Planned) and (
                    note := day_note(event, tracker.snapshot, waits=waits)
                ):
                    display.note(note)

            refreshing = zoho.start(_refresh(zoho, tracker, display), name="display")
            try:
                yield show
            finally:
                refreshing.cancel()


def check(order: ExportOptions) -> None:
    """Check the options before anything is opened. Raises `ConfigurationError`."""
    filters = read_pairs(order.filters, "--filter")
    parse_moment(order.since)
    parse_destination(order.to, order.format, flatten=order.flatten)
    if order.max_deletion_checks is not None and not order.detect_deletions:
        raise ConfigurationError(
            "--max-deletion-checks needs --detect-deletions: give both or neither"
        )
    accepted(accepted_short(order.accept))
    if order.detect_deletions and order.full:
        raise ConfigurationError(
            "--detect-deletions compares with what is there and --full reads everything again: "
            "give one of them"
        )
    if order.max_calls is not None and order.max_calls < 1:
        raise ConfigurationError(f"max-calls must be at least 1, got {order.max_calls}")
    if order.max_calls is not None and order.all_organizations:
        raise ConfigurationError(
            "--max-calls works for one organization: name it with --organization"
        )
    lists = all_lists() if order.resources else exportable()
    check_filters(filters, resolve(order.resources, lists, filters=filters))


def accepted_short(values: Sequence[str]) -> tuple[str, ...]:
    """The lists in ``short:LIST`` values. Raises `ConfigurationError` for any other value."""
    pairs = [value.partition(":") for value in values]
    for value, (what, _, name) in zip(values, pairs, strict=True):
        if what != "short" or not name:
            raise ConfigurationError(f"--accept takes short:LIST, got {value!r}")
    return tuple(name for _, _, name in pairs)


def parse_destination(to: str, format: str | None, *, flatten: bool) -> Destination:
    """The destination for ``--to``. Raises `ConfigurationError` and `ExportError`."""
    destination = open_destination(to, format, flatten)
    if isinstance(destination, PostgreSql) and destination.has_password:
        raise ConfigurationError(
            "other users can see a password on the command line: leave it out of --to, and set "
            "PGPASSWORD or use a .pgpass file"
        )
    return destination


def known_scopes(wanted: ConnectionOptions, environ: Mapping[str, str]) -> tuple[str, ...] | None:
    """The scopes that the account's login asked for; None if they are not known."""
    profile = None if wanted.sandbox else chosen_profile(wanted.profile, environ)
    return profile.scopes or None if profile is not None else None


def parse_moment(text: str | None) -> datetime | None:
    """The time that ``--since`` means; a date is midnight in this computer's time zone.

    Raises `ConfigurationError`.
    """
    if text is None:
        return None
    if is_date(text):
        return datetime.fromisoformat(text).astimezone()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ConfigurationError(
            "--since takes a date such as 2026-01-31, or a time with its offset such as "
            f"2026-01-31T00:00:00+0100, got {text!r}"
        )
    return moment


def is_date(text: str) -> bool:
    """Whether ``text`` is a date without a time."""
    try:
        return date.fromisoformat(text).year > 1  # the first year has no midnight in some zones
    except ValueError:
        return False


def next_step(order: ExportOptions, summary: Summary, *, sandbox: bool) -> list[str]:
    """The line that says what to do after a first export; no line after later runs."""
    if order.full or order.restart or any(one.mode != "full" for one in summary.resources):
        return []
    if sandbox:
        return ["next: `zoho-async login` sets up your own account"]
    return ["next: run the same command again to read only what changed"]


async def _refresh(zoho: Session, tracker: Tracker, display: Display) -> None:
    while True:
        tracker.snapshot = await zoho.snapshot()
        display.tick()
        await anyio.sleep(_REFRESH)


def day_note(plan: Planned, snapshot: Snapshot | None, *, waits: bool = False) -> str:
    """The note for a plan that needs more calls than the day has left, or ""."""
    if waits:
        resets = (plan.days or 1) - 1
        times = count(resets, "time")
        return f"the export will wait for the day's reset {times}" if resets else ""
    left = snapshot.day_remaining if snapshot else None
    if left is None or plan.calls <= left:
        return ""
    return (
        f"the day has {count(left, 'call')} left: the export will stop there. "
        "Run the same command again after the reset to continue."
    )


def _display(tracker: Tracker) -> Display:
    console = Console(stderr=True)
    if console.is_terminal and not console.is_dumb_terminal:
        return Terminal(tracker, console)
    return Lines(tracker, sys.stderr)
