"""``zoho-async import``: check, plan, run and undo an import.

``--json`` prints one object. Later versions may add keys but remove none:

- ``status``: ``planned``, ``done``, ``incomplete``, ``quota``, ``refused`` (wrong rows, bad usage
  or configuration), ``failed`` or ``interrupted``; ``exit_code``; ``error``: one sentence or null
- ``job``: its id for ``--undo``, or null; ``target``; ``rows``; ``calls``
- of a plan: ``documents``, ``creates``, ``updates``, ``unchanged``, ``written``, ``unknown``,
  ``skipped``, ``calls_made``, ``seconds``, ``days``, ``without_token`` and ``mapping``
- of a run: ``created``, ``updated``, ``unchanged``, ``skipped``, ``remaining``, ``seconds``, and
  ``unknown``: ``row`` and ``candidates`` of each write that needs a person
- of an undo: ``deleted``, ``to_delete``, and ``kept``: ``row``, ``record`` and ``reason``
- ``problems``: ``row``, ``column`` ("" for the whole row) and ``problem``; ``errors_file`` or null
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from zoho_async.cli import outcome
from zoho_async.cli.connect import ConnectionOptions, connected
from zoho_async.cli.export_summary import status_of
from zoho_async.cli.outcome import Interrupted, interruptible
from zoho_async.cli.output import count, seconds
from zoho_async.cli.safe import discard_stdout, print, say
from zoho_async.errors import ConfigurationError, ZohoError
from zoho_async.events import Event
from zoho_async.export import WaitingForReset
from zoho_async.files import write_private
from zoho_async.importer import (
    CellProblem,
    Import,
    ImportEvent,
    ImportOptions,
    ImportPlan,
    ImportProgress,
    ImportSummary,
    Settling,
    UndoSummary,
    WrongRows,
    undo_import,
)
from zoho_async.importer.mapping import (
    UNDECIDED,
    UnmappedColumns,
    mapping_text,
    read_mapping,
)
from zoho_async.session import Session

#: The most problems that are shown; the errors file has all of them.
_SHOWN: Final = 20
#: Seconds between two lines of progress.
_EVERY: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class ImportCommand:
    """One command. ``decisions`` are texts ``ROW=ID`` or ``ROW=absent``."""

    file: Path | None
    to: str | None
    options: ImportOptions
    connection: ConnectionOptions
    mapping: Path | None = None
    errors: Path | None = None
    journal: Path | None = None
    sheet: str | None = None
    decisions: tuple[str, ...] = ()
    undo: str | None = None
    plan_only: bool = False

    def run(self, environ: Mapping[str, str], *, json: bool) -> int:
        """Run the command and print the result; the exit code."""
        run = _Run(self, environ)
        error: ZohoError | Interrupted | None = None
        try:
            self.check()
            asyncio.run(interruptible(run.work()))
        except (ZohoError, Interrupted) as problem:
            error = problem
        try:
            return run.report(error, json=json)
        except BrokenPipeError:
            discard_stdout()
            return outcome.FAILED

    def check(self) -> None:
        """Raise `ConfigurationError` for arguments that do not fit together."""
        if self.undo is None and (self.file is None or self.to is None):
            raise ConfigurationError("name the file, and its resource with --to books.contacts")
        if self.undo is not None and self.file is not None:
            raise ConfigurationError("--undo takes the id of a job and no file")
        if self.sandboxed and self.undo is not None:
            raise ConfigurationError("--sandbox has no earlier jobs to undo")

    @property
    def sandboxed(self) -> bool:
        return self.connection.sandbox

    @property
    def target(self) -> str:
        """The resource, of Books if no product is named."""
        name = (self.to or "").strip().lower().replace("-", "_")
        return name if "." in name else f"books.{name}"

    def pairs(self) -> dict[int, str]:
        """The decisions by row. Raises `ConfigurationError`."""
        found: dict[int, str] = {}
        for text in self.decisions:
            row, equals, record = text.partition("=")
            if not (row.isdecimal() and equals and (record == "absent" or record.isdecimal())):
                raise ConfigurationError(f"--settle takes ROW=ID or ROW=absent, got {text!r}")
            found[int(row)] = "" if record == "absent" else record
        return found


class _Run:
    """One run, and what it found."""

    def __init__(self, command: ImportCommand, environ: Mapping[str, str]) -> None:
        self._command: Final = command
        self._environ: Final = environ
        self._plan: ImportPlan | None = None
        self._summary: ImportSummary | None = None
        self._undone: UndoSummary | None = None
        self._errors_file: Path | None = None
        self._calls = 0
        self._shown_at = 0.0

    async def work(self) -> None:
        command = self._command
        with ExitStack() as stack:
            journal = command.journal
            if command.sandboxed and journal is None:
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                journal = Path(folder) / "journal.sqlite"
            async with connected(command.connection, self._environ, self._count) as zoho:
                if command.undo is not None:
                    self._undone = await undo_import(
                        zoho,
                        command.undo,
                        journal=journal,
                        plan=command.plan_only,
                        settle_wait=command.options.settle_wait,
                    )
                    return
                try:
                    await self._import(zoho, journal)
                except UnmappedColumns as problem:
                    self._save_mapping(problem.names)
                    raise

    def _count(self, event: Event) -> None:
        self._calls += type(event).__name__ == "Called"

    async def _import(self, zoho: Session, journal: Path | None) -> None:
        command = self._command
        assert command.file is not None
        job = Import(
            zoho,
            command.target,
            command.file,
            options=command.options,
            mapping=self._given_mapping(),
            journal=journal,
            sheet=command.sheet,
            decisions=command.pairs(),
        )
        if command.plan_only:
            self._plan = await job.plan()
            self._save_mapping(self._plan.mapping)
            await self._write_errors(job, self._plan.problems)
            return
        try:
            async with job:
                async for event in job:
                    self._show(event)
        finally:
            with suppress(RuntimeError):  # it was never entered
                self._summary = job.summary
                await self._write_errors(job, self._summary.problems)

    def _given_mapping(self) -> dict[str, str] | None:
        path = self._command.mapping
        if path is None or not path.exists():
            return None
        return read_mapping(path, self._command.target)

    def _save_mapping(self, names: Mapping[str, str]) -> None:
        path = self._command.mapping
        if path is None or path.exists():
            return
        try:
            write_private(path, mapping_text(self._command.target, names).encode())
        except OSError as problem:
            raise ConfigurationError(f"cannot write {path}: {problem.strerror}") from None
        open_ = sum(name == UNDECIDED for name in names.values())
        rest = f'; replace each "{UNDECIDED}" in it by a field, or by ""' if open_ else ""
        say(f"the mapping of the columns is in {path}{rest}")

    async def _write_errors(self, job: Import, problems: tuple[CellProblem, ...]) -> None:
        file = self._command.file
        assert file is not None
        if problems:
            path = self._command.errors or file.with_name(f"{file.stem}.errors.csv")
            await job.write_errors(path)
            self._errors_file = path

    # -- display ----------------------------------------------------------------------------------

    def _show(self, event: ImportEvent) -> None:
        if isinstance(event, ImportPlan):
            self._plan = event
            self._save_mapping(event.mapping)
            say(_plan_line(event))
        elif isinstance(event, ImportProgress):
            now = time.monotonic()
            if now >= self._shown_at + _EVERY:
                self._shown_at = now
                say(_progress_line(event))
        elif isinstance(event, Settling):
            say(
                f"{count(event.writes, 'answer')} lost: looking for the records"
                + (f", for up to {seconds(event.seconds)} more" if event.seconds else "")
            )
        elif isinstance(event, WaitingForReset):
            wait = "an hour" if event.seconds is None else seconds(event.seconds)
            say(f"the day's calls are used up: waiting {wait}")

    def report(self, error: ZohoError | Interrupted | None, *, json: bool) -> int:
        """Print the result; the exit code."""
        code = self._code(error)
        sentence = None if error is None else str(error)
        if isinstance(error, Interrupted):
            sentence = "interrupted; written rows are in the journal"
        problems = self._problems(error)
        if json:
            print(self._as_json(code, sentence, problems))
        else:
            for line in self._lines() if code != outcome.USAGE or self._plan_is_all else ():
                print(line)
        for problem in problems[:_SHOWN]:
            say(f"  {problem}")
        if len(problems) > _SHOWN:
            say(f"  and {count(len(problems) - _SHOWN)} more")
        if self._errors_file is not None:
            say(f"the rows with problems are in {self._errors_file}: correct and import them")
        if sentence:
            say(f"zoho-async: {sentence}")
        if self._goes_on(error, code):
            say("run the same command again to continue")
        sys.stdout.flush()
        return code

    @property
    def _plan_is_all(self) -> bool:
        return self._plan is not None and self._command.plan_only

    def _code(self, error: ZohoError | Interrupted | None) -> int:
        if isinstance(error, WrongRows):
            return outcome.USAGE
        if error is not None:
            return outcome.exit_code(error, began=self._summary is not None)
        if self._summary is not None:
            return self._summary.exit_code
        if self._plan is not None and self._plan.problems:
            return outcome.USAGE
        if self._undone is not None and self._undone.kept:
            return outcome.INCOMPLETE
        return outcome.DONE

    def _problems(self, error: ZohoError | Interrupted | None) -> tuple[CellProblem, ...]:
        if isinstance(error, WrongRows):
            return error.problems
        if self._summary is not None:
            return self._summary.problems
        return self._plan.problems if self._plan is not None else ()

    def _goes_on(self, error: ZohoError | Interrupted | None, code: int) -> bool:
        remaining = self._summary is not None and self._summary.remaining > 0
        return remaining and error is not None and code != outcome.USAGE

    def _lines(self) -> list[str]:
        if self._undone is not None:
            return _undo_lines(self._undone)
        if self._summary is not None:
            return _summary_lines(self._summary)
        return _plan_lines(self._plan) if self._plan is not None else []

    def _as_json(self, code: int, sentence: str | None, problems: tuple[CellProblem, ...]) -> str:
        result: dict[str, Any] = {
            "status": status_of(code),
            "exit_code": code,
            "error": sentence,
            "job": self._command.undo,
            "target": None if self._command.undo else self._command.target,
            "rows": 0,
            "calls": self._calls,
        }
        if self._undone is not None:
            result |= msgspec.to_builtins(self._undone)
        elif self._summary is not None:
            values = msgspec.to_builtins(self._summary)
            values["unknown"] = [
                {"row": one.row, "candidates": one.candidates} for one in self._summary.unknown
            ]
            result |= values
        elif self._plan is not None:
            result |= msgspec.to_builtins(self._plan)
            result["status"] = "planned" if code == outcome.DONE else status_of(code)
        result["exit_code"] = code
        result["problems"] = [msgspec.to_builtins(one) for one in problems]
        result["errors_file"] = None if self._errors_file is None else str(self._errors_file)
        return msgspec.json.encode(result).decode()


def _plan_line(plan: ImportPlan) -> str:
    days = "" if plan.days is None or plan.days < 2 else f", {count(plan.days, 'day')}"
    return (
        f"{plan.target}: {count(plan.rows, 'row')}, {count(plan.creates)} to create, "
        f"{count(plan.updates)} to update, {count(plan.unchanged)} unchanged, "
        f"{count(plan.written)} written before; {count(plan.calls, 'call')}, "
        f"{seconds(plan.seconds)}{days}"
    )


def _plan_lines(plan: ImportPlan) -> list[str]:
    width = max(len(column) for column in plan.mapping)
    lines = [f"  {name:<{width}}  {place or '(left out)'}" for name, place in plan.mapping.items()]
    lines.append(_plan_line(plan))
    if plan.skipped:
        lines.append(f"{count(plan.skipped)} skipped: an earlier file wrote them")
    if plan.unknown:
        lines.append(f"{count(plan.unknown, 'write')} of an earlier run with a lost answer")
    if plan.without_token:
        lines.append(
            f"{count(plan.without_token)} of the creates have no room for a token: if an answer is "
            "lost, a person must settle it (--token-field, --token-in-notes)"
        )
    errors = f"{count(len(plan.problems), 'problem')}; " if plan.problems else ""
    lines.append(f"{errors}{count(plan.calls_made, 'call')} made for this plan, nothing written")
    return lines


def _progress_line(event: ImportProgress) -> str:
    refused = f", {count(event.refused)} refused" if event.refused else ""
    unknown = f", {count(event.unknown)} with a lost answer" if event.unknown else ""
    return f"{count(event.done)} of {count(event.of, 'write')}{refused}{unknown}"


def _summary_lines(summary: ImportSummary) -> list[str]:
    parts = {
        "created": summary.created,
        "updated": summary.updated,
        "unchanged": summary.unchanged,
        "skipped": summary.skipped,
        "with problems": len({one.row for one in summary.problems}),
        "unknown": len(summary.unknown),
        "left": summary.remaining,
    }
    texts = [f"{count(number)} {what}" for what, number in parts.items() if number]
    head = "done" if summary.done else "not complete"
    lines = [
        f"{head}: {count(summary.rows, 'row')}: {', '.join(texts) or 'nothing to do'}",
        f"{count(summary.calls, 'call')} in {seconds(summary.seconds)}, "
        f"{count(summary.refused)} refused for the limits",
    ]
    for one in summary.unknown:
        some = f" (perhaps {', '.join(one.candidates)})" if one.candidates else ""
        lines.append(
            f"  row {one.row}: it is not known whether it was written{some}; look it up, and give "
            f"--settle {one.row}=ID or --settle {one.row}=absent"
        )
    if summary.job and summary.created:
        lines.append(f"to delete what was created: zoho-async import --undo {summary.job}")
    return lines


def _undo_lines(undone: UndoSummary) -> list[str]:
    lines = [f"{count(undone.deleted)} deleted, {count(len(undone.kept))} kept"]
    if undone.to_delete:
        lines = [f"{count(undone.to_delete)} to delete, {count(len(undone.kept))} to keep"]
    for one in undone.kept:
        record = f", record {one.record}" if one.record else ""
        lines.append(f"  row {one.row}{record}: {one.reason}")
    return lines
