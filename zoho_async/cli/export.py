"""``zoho-async export`` and ``zoho-async merge``.

`ExportCommand` runs an `Export`, shows its progress and returns the exit code.
"""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, fields
from typing import Final, Protocol

import anyio
import msgspec
from rich.console import Console

from zoho_async.auth.profiles import chosen_profile
from zoho_async.cli import export_summary, outcome
from zoho_async.cli.connect import ConnectionOptions, connected
from zoho_async.cli.export_plan import show_plan
from zoho_async.cli.lines import Lines
from zoho_async.cli.outcome import Interrupted, interruptible
from zoho_async.cli.output import count
from zoho_async.cli.progress import Tracker
from zoho_async.cli.safe import discard_stdout, print
from zoho_async.cli.terminal import Terminal
from zoho_async.errors import ConfigurationError, ZohoError
from zoho_async.export import (
    Destination,
    Directory,
    Export,
    ExportEvent,
    Exports,
    FilterUnconfirmed,
    MergeResult,
    Planned,
    RecordsLeftOut,
    Remote,
    Summary,
    merge,
    open_destination,
)
from zoho_async.export.destinations import PostgreSql
from zoho_async.export.errors import DestinationChanged, problems_of
from zoho_async.export.events import left_out_text
from zoho_async.export.options import ExportOptions
from zoho_async.export.plan import accepted_lists, check_destination, chosen_lists
from zoho_async.export.shape import HashKey
from zoho_async.export.shape_rules import check_rules, hash_key, rules_of
from zoho_async.limits import Snapshot
from zoho_async.session import Session

#: Seconds between two refreshes of the limits.
_REFRESH: Final = 0.5
#: Options that take no value.
_FLAGS: Final = frozenset(
    f"--{name.replace('_', '-')}"
    for options in (ExportOptions, ConnectionOptions)
    for name in [one.name for one in fields(options) if one.default is False]
) | {"--json", "--all-organizations", "--plan-only"}


@dataclass(frozen=True, kw_only=True)
class ExportCommand:
    """One command. ``arguments`` are those of the process.

    They make the command that continues the export.
    """

    resources: tuple[str, ...]
    to: str
    options: ExportOptions
    connection: ConnectionOptions
    all_organizations: bool
    arguments: Sequence[str]
    plan_only: bool = False

    def check(self, environ: Mapping[str, str]) -> None:
        """Check the arguments before anything is opened. Raises `ConfigurationError`."""
        options = self.options
        destination = parse_destination(
            self.to, options.format, flatten=options.flatten, excel=options.excel
        )
        accepted_lists(self.options.accept)
        if self.options.max_calls is not None and self.all_organizations:
            raise ConfigurationError(
                "--max-calls works for one organization: name it with --organization"
            )
        lists = chosen_lists(self.resources, self.options)
        check_destination(destination, lists)
        check_rules(rules_of(self.options), [facts.resource for facts in lists])
        self.hash_key(environ)
        if self._protects and (self.options.files or self.options.files_to):
            print(
                "note: --files saves documents as Zoho makes them: they show what the columns hide",
                file=sys.stderr,
            )

    @property
    def _protects(self) -> bool:
        options = self.options
        return bool(options.select or options.exclude or options.hash or options.mask)

    def hash_key(self, environ: Mapping[str, str]) -> HashKey | None:
        """The key of ``--hash``, None without that option. Raises `ConfigurationError`."""
        return hash_key(self.connection.profile, environ) if self.options.hash else None

    def run(self, environ: Mapping[str, str], *, json: bool) -> int:
        """Run the export, or plan it, and print the result; the exit code."""
        if self.plan_only:
            return show_plan(self, environ, json=json)
        run = _Run(self, environ)
        error = run.run()
        if error is not None:
            code = outcome.exit_code(error, began=run.summary is not None)
        else:
            code = outcome.DONE if run.summary is None else run.summary.exit_code
        try:
            self._report(error, run.summary, code, json=json, calls=run.calls)
        except BrokenPipeError:
            discard_stdout()
        return code

    def scopes(self, environ: Mapping[str, str]) -> tuple[str, ...] | None:
        """The scopes that the account's login asked for; None if they are not known."""
        wanted = self.connection
        profile = None if wanted.sandbox else chosen_profile(wanted.profile, environ)
        return profile.scopes or None if profile is not None else None

    def _report(
        self,
        error: ZohoError | Interrupted | None,
        summary: Summary | None,
        code: int,
        *,
        json: bool,
        calls: int,
    ) -> None:
        """Print the result of the run. Without ``summary``, it made ``calls``."""
        sentence = str(error) if error is not None else None
        problems: dict[str, str] = {}
        if summary is not None:
            early = ("stopped", "unfinished")
            ended = [one for one in summary.incomplete if one.state not in early]
            problems = problems_of(summary, ended)
            if error is None and ended:
                sentence = f"not complete: {', '.join(problems)}"
        if isinstance(error, Interrupted):
            sentence = "interrupted; written rows are kept"
        next_command = self._continuing(error, summary, code)
        if summary is not None and not json:
            print("\n".join(export_summary.as_lines(summary)))
        for problem in problems.values():
            print(f"zoho-async: {problem}", file=sys.stderr)
        if sentence:
            print(f"zoho-async: {sentence}", file=sys.stderr)
        if next_command:
            print(f"continue with: {next_command}", file=sys.stderr)
        elif summary is not None and code == outcome.DONE and not json:
            for line in self._next_step(summary):
                print(line)
        if json:
            print(
                export_summary.as_json(
                    summary, code=code, error=sentence, next_command=next_command, calls=calls
                )
            )
        sys.stdout.flush()

    def _continuing(
        self, error: ZohoError | Interrupted | None, summary: Summary | None, code: int
    ) -> str | None:
        """The command with which to continue, None if there is nothing to continue."""
        if isinstance(error, DestinationChanged):
            words = [*self._of_one(error.resource), error.option]
        elif summary is not None and code not in (
            outcome.DONE,
            outcome.INCOMPLETE,
            outcome.USAGE,
        ):
            words = [one for one in self.arguments if one != "--restart"]
        else:
            return None
        return shlex.join(["zoho-async", *words])

    def _of_one(self, resource: str) -> list[str]:
        """The arguments for ``resource`` alone."""
        head, *words = self.arguments
        named = list(self.resources)
        rest: list[str] = []
        before = ""
        for word in words:
            if word in named and (before in _FLAGS or not before.startswith("--") or "=" in before):
                named.remove(word)
            else:
                rest.append(word)
            before = word
        return [head, resource, *rest]

    def _next_step(self, summary: Summary) -> list[str]:
        """The line that says what to do after a first export; no line after later runs."""
        again = self.options.full or self.options.restart
        if again or any(one.mode != "full" for one in summary.resources):
            return []
        if self.connection.sandbox:
            return ["next: `zoho-async login` sets up your own account"]
        return ["next: run the same command again to read only what changed"]


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


class _Run:
    """One run. ``summary`` is set when a job that was entered has ended."""

    def __init__(self, command: ExportCommand, environ: Mapping[str, str]) -> None:
        self.summary: Summary | None = None
        self._command: Final = command
        self._environ: Final = environ
        self._tracker: Final = Tracker()

    @property
    def calls(self) -> int:
        """The calls made so far."""
        return self._tracker.calls

    def run(self) -> ZohoError | Interrupted | None:
        """Run to the end and return the error that ended the run early, if any."""
        try:
            self._command.check(self._environ)
            asyncio.run(interruptible(self._work()))
        except (ZohoError, Interrupted) as error:
            return error
        return None

    async def _work(self) -> None:
        every = self._command.all_organizations
        async with connected(
            self._command.connection, self._environ, self._tracker.called, organization=not every
        ) as zoho:
            await (self._export_all(zoho) if every else self._export(zoho))

    async def _export(self, zoho: Session) -> None:
        command = self._command
        job = Export(
            zoho,
            command.resources,
            to=command.to,
            options=command.options,
            scopes=command.scopes(self._environ),
            hash_key=command.hash_key(self._environ),
        )
        try:
            async with job, self._displayed(zoho) as show:
                async for event in job:
                    show(event)
        finally:
            with suppress(RuntimeError):  # it was never entered
                self.summary = job.summary

    async def _export_all(self, zoho: Session) -> None:
        command = self._command
        found = await zoho.organizations()
        own_calls = self._tracker.calls
        jobs = Exports(
            zoho,
            found,
            command.resources,
            to=command.to,
            options=command.options,
            scopes=command.scopes(self._environ),
            hash_key=command.hash_key(self._environ),
        )
        try:
            async with jobs, self._displayed(zoho.for_organization(found[0].id)) as show:
                await jobs.follow(show)
        finally:
            with suppress(RuntimeError):
                summary = jobs.summary
                self.summary = msgspec.structs.replace(
                    summary,
                    calls=summary.calls + own_calls,
                    least_calls=summary.least_calls + 1,
                )

    @asynccontextmanager
    async def _displayed(self, zoho: Session) -> AsyncGenerator[Callable[[ExportEvent], None]]:
        """Show progress on stderr; yields the function that shows an event."""
        tracker = self._tracker
        tracker.rate = zoho.rate
        with _display(tracker) as display:

            def show(event: ExportEvent) -> None:
                tracker.exported(event)
                display.show(event)
                if isinstance(event, RecordsLeftOut | FilterUnconfirmed):
                    display.note(filter_note(event))
                waits = self._command.options.until_done
                if isinstance(event, Planned) and (
                    note := day_note(event, tracker.snapshot, waits=waits)
                ):
                    display.note(note)

            refreshing = zoho.start(_refresh(zoho, tracker, display), name="display")
            try:
                yield show
            finally:
                refreshing.cancel()


def parse_destination(
    to: str, format: str | None = None, *, flatten: bool = False, excel: bool = False
) -> Destination:
    """The destination for ``--to``. Raises `ConfigurationError` and `ExportError`."""
    destination = open_destination(to, format, flatten, excel=excel)
    if isinstance(destination, PostgreSql) and destination.has_password:
        raise ConfigurationError(
            "other users can see a password on the command line: leave it out of --to, and set "
            "PGPASSWORD or use a .pgpass file"
        )
    return destination


async def _refresh(zoho: Session, tracker: Tracker, display: Display) -> None:
    while True:
        tracker.snapshot = await zoho.snapshot()
        display.tick()
        await anyio.sleep(_REFRESH)


def filter_note(event: RecordsLeftOut | FilterUnconfirmed) -> str:
    """The note for a list whose filter is not as it was asked for."""
    if isinstance(event, FilterUnconfirmed):
        names = ", ".join(event.filters)
        return f"{event.resource}: Zoho does not confirm {names}; it may have ignored the filter"
    return f"{event.resource}: {left_out_text(event.applied_filter, event.left_out)}"


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


def merge_files(to: str, format: str | None, *, flatten: bool, json: bool) -> int:
    """Merge the files in ``to`` and print what was merged; the exit code.

    Raises `ExportError`. A directory of several organizations is merged one by one.
    """
    destination = open_destination(to, format, flatten)
    if not isinstance(destination, Directory | Remote):
        raise ConfigurationError(
            f"{destination.name} is not a directory, and always holds the current state: "
            "there is nothing to merge"
        )
    merged: list[MergeResult] = []
    for place in destination.organizations() or [to]:
        opened = open_destination(place, format, flatten)
        assert isinstance(opened, Directory | Remote)
        merged += merge(opened)
    if json:
        print(msgspec.json.encode({"merged": merged}).decode())
        return outcome.DONE
    for one in merged:
        print(f"  {one.file}  {count(one.rows, 'row')} after {count(one.changes, 'run')}")
    if not merged:
        print("nothing to merge: no run has found changes")
    return outcome.DONE
