"""``zoho-async verify``: compares an export with Zoho's reports and prints the verdicts."""

from __future__ import annotations

import asyncio
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Final

import msgspec

from zoho_async.cli import outcome
from zoho_async.cli.connect import ConnectionOptions, connected
from zoho_async.cli.export import parse_destination
from zoho_async.cli.outcome import interruptible
from zoho_async.cli.output import count
from zoho_async.cli.safe import print, safe
from zoho_async.errors import ConfigurationError
from zoho_async.export import DestinationError
from zoho_async.reports import PeriodLength
from zoho_async.verify import Verification, VerifyPlan, plan_verification, verify
from zoho_async.verify.certificate import (
    amount_of,
    check_suffix,
    not_comparable,
    sentence,
    tally,
    write_certificate,
)
from zoho_async.verify.results import Comparison, period_text

#: How many checks and records of a kind are printed. The certificate has all.
_MOST_SHOWN: Final = 20
_WIDTH: Final = 80


class VerifyCommand(msgspec.Struct, frozen=True, kw_only=True):
    """The options of ``verify``. ``certificate`` is the file to write, None for none."""

    mirror: str
    first: date | None = None
    last: date | None = None
    by: PeriodLength = "year"
    certificate: Path | None = None
    json: bool = False
    plan_only: bool = False


def verify_mirror(
    wanted: VerifyCommand, connection: ConnectionOptions, *, environ: Mapping[str, str]
) -> int:
    """Verify, print the result and return the exit code. Raises what `verify` does."""
    if wanted.certificate is not None:
        if wanted.plan_only:
            raise ConfigurationError("--plan-only compares nothing: leave out --certificate")
        check_suffix(wanted.certificate)
    found = asyncio.run(interruptible(_run(wanted, connection, environ)))
    if isinstance(found, VerifyPlan):
        _print_plan(found, json=wanted.json)
        return outcome.DONE
    if wanted.json:
        plain = {"verdict": found.verdict, "exit_code": found.exit_code}
        print(msgspec.json.encode({**plain, **msgspec.to_builtins(found)}).decode())
    else:
        _print(found)
    if wanted.certificate is not None:
        _write(found, wanted.certificate, json=wanted.json)
    return found.exit_code


def _write(found: Verification, certificate: Path, *, json: bool) -> None:
    """Write the certificate after the result was printed, so that a full disk does not lose it."""
    try:
        write_certificate(found, certificate)
    except OSError as problem:
        raise DestinationError(certificate, str(problem)) from problem
    if not json:
        print(f"certificate: {certificate}")


async def _run(
    wanted: VerifyCommand, connection: ConnectionOptions, environ: Mapping[str, str]
) -> Verification | VerifyPlan:
    destination = parse_destination(wanted.mirror)
    async with connected(connection, environ, lambda event: None) as zoho:
        if wanted.plan_only:
            return await plan_verification(
                zoho, destination, from_date=wanted.first, to_date=wanted.last, by=wanted.by
            )
        return await verify(
            zoho, destination, from_date=wanted.first, to_date=wanted.last, by=wanted.by
        )


def _print_plan(plan: VerifyPlan, *, json: bool) -> None:
    if json:
        print(msgspec.json.encode(plan).decode())
        return
    for line in plan.lines:
        print(_wrapped(safe(f"  {line}")))
    print(f"{count(plan.calls, 'call')} if everything agrees")


def _print(found: Verification) -> None:
    if counts := list(tally(found)):
        _print_tally(counts)
    for line in _details(found):
        print(_wrapped(safe(line)))
    print(sentence(found))
    print(f"{count(found.calls, 'call')} made")


def _print_tally(counts: Sequence[tuple[str, Sequence[int]]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("compared")
    for head in ("agree", "differ", "not comparable"):
        table.add_column(head, justify="right")
    for title, numbers in counts:
        table.add_row(Text(title), *(f"{one:,}" for one in numbers))
    width = min(_WIDTH, shutil.get_terminal_size().columns)
    Console(file=sys.stdout, width=width, highlight=False).print(table)


def _details(found: Verification) -> Iterator[str]:
    """The checks that do not agree, the differing ones with their records."""
    for check in found.differing[:_MOST_SHOWN]:
        yield f"differs: {_named(check)}"
        for one in check.differences[:_MOST_SHOWN]:
            yield f"  {one.record} (id {one.id})"
            yield f"    mirror: {one.mirror}"
            yield f"    Zoho:   {one.zoho}"
        yield from _more(len(check.differences), "record")
    yield from _more(len(found.differing), "comparison that differs")
    rest = not_comparable(found)
    for check in rest[:_MOST_SHOWN]:
        yield f"not comparable: {_named(check)}"
        yield f"  {check.reason}"
        yield from (f"  {text}" for text in check.set_apart[:_MOST_SHOWN])
        yield from _more(len(check.set_apart), "record")
    yield from _more(len(rest), "comparison")
    for line in found.not_compared:
        yield f"not compared: {line}"


def _wrapped(line: str) -> str:
    """``line`` in lines of 80 characters that begin with its indentation."""
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.fill(line, _WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def _more(total: int, what: str) -> Iterator[str]:
    if total > _MOST_SHOWN:
        yield f"  ... {total - _MOST_SHOWN:,} more: {what}s are in the certificate and in --json"


def _named(check: Comparison) -> str:
    period = period_text(check.period)
    amounts = f"mirror {amount_of(check.mirror, check)}"
    if check.zoho is not None:
        amounts += f", Zoho {amount_of(check.zoho, check)}"
    return f"{check.name}{period and f', {period}'}: {amounts} ({check.unit})"
