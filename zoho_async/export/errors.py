"""Errors that keep an export from starting or continuing, each with what to do."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from zoho_async.errors import ConfigurationError, ZohoError
from zoho_async.export.events import ResourceSummary, Summary


class ExportError(ZohoError):
    """An export cannot start or continue. What it wrote before stays valid."""


class MissingExtra(ExportError, ConfigurationError):
    """A destination needs a library that is not installed."""


class UnknownResource(ExportError, ConfigurationError):
    """No exportable list has that name. ``near`` holds similar names."""

    def __init__(self, name: str, near: Sequence[str], why: str = "") -> None:
        self.name: Final = name
        self.near: Final = tuple(near)
        advice = why or (
            f"did you mean {' or '.join(self.near)}?"
            if self.near
            else "`zoho-async resources` lists those that can be exported"
        )
        super().__init__(f"unknown resource {name!r}: {advice}")


class UnknownFilter(ExportError, ConfigurationError):
    """A list does not have a filter of that name."""


class UnknownColumn(ExportError, ConfigurationError):
    """A rule names a column that the lists do not have, or an id that cannot be changed."""


class CheckpointRefused(ExportError):
    """The destination holds another export, for example of another organization."""


class DestinationChanged(CheckpointRefused):
    """A person changed what an export wrote, so ``resource`` must be read in full again.

    ``cause`` says what changed. ``option`` is the option of the command that reads it again.
    """

    def __init__(self, resource: str, cause: str, option: str) -> None:
        self.resource: Final = resource
        self.cause: Final = cause
        self.option: Final = option
        super().__init__(f"{cause}; {option} reads {resource} in full and replaces it")


class ExportRunning(ExportError):
    """Another run is writing to the same destination."""

    def __init__(self, place: Path | str) -> None:
        self.place: Final = str(place)
        super().__init__(
            f"another export is running into {place}, or another program has it open; "
            "wait until it ends, or choose another place"
        )


#: The advice for a file of another program. It is never replaced.
FOREIGN_FILE: Final = "move or rename the file, or choose another name"


class DestinationError(ExportError):
    """The destination cannot be written. What was written before stays.

    ``advice`` says what to do, if it differs from the default advice.
    """

    def __init__(self, place: Path | str, cause: str, advice: str = "") -> None:
        self.place: Final = str(place)
        advice = advice or (
            "make it writable (or make room) and run the same command again, "
            "or choose another place"
        )
        super().__init__(f"cannot write to {place}: {cause}; {advice}")


class ExportIncomplete(ExportError):
    """Some lists were not read or are not complete. All other lists are.

    ``summary`` has the state of each list.
    """

    def __init__(self, summary: Summary) -> None:
        self.summary: Final = summary
        super().__init__("; ".join(problems_of(summary, summary.incomplete).values()))


def problems_of(summary: Summary, incomplete: Sequence[ResourceSummary]) -> dict[str, str]:
    """Say what is wrong with ``incomplete`` lists, by their names, and what to do about it.

    An organization of which Zoho refused every list for one reason is one problem.
    """
    problems: dict[str, str] = {}
    refused = refused_organizations(summary)
    for one in incomplete:
        organization = organization_of(summary, one)
        if organization in refused:
            problems[f"organization {organization}"] = (
                f"organization {organization}: Zoho refused every list: {one.refusal}; check that "
                "its subscription is valid and that you belong to it; later runs ask for one list, "
                "and read all when it is no longer refused"
            )
        else:
            problems[one.resource] = _problem_of(one)
    return problems


def organization_of(summary: Summary, one: ResourceSummary) -> str:
    """Return the organization of a list. Its name begins with it if there are several."""
    return one.resource.rpartition("/")[0] or summary.organization


def refused_organizations(summary: Summary) -> set[str]:
    """Return the organizations of which Zoho refused every list, of several, for one reason."""
    refusals: dict[str, list[str | None]] = {}
    for one in summary.resources:
        refusals.setdefault(organization_of(summary, one), []).append(one.refusal)
    return {
        name
        for name, said in refusals.items()
        if len(said) > 1 and len(set(said)) == 1 and said[0] is not None
    }


def _problem_of(one: ResourceSummary) -> str:
    if one.state == "refused":
        return (
            f"{one.resource}: {one.error}; the list was not read; each run asks again, and reports "
            "it only if the reason changes; if its module is switched off, there is nothing to do"
        )
    if one.error:
        return f"{one.resource}: {one.error}"
    if one.state == "short":
        return (
            f"{one.resource} is short: {one.missing:,} records that the list counts were not "
            f"found; run the same command again, or accept it with --accept short:{one.resource}"
        )
    if one.state in ("changed", "keeps_changing"):
        return f"{one.resource} changed while it was read, so a record may be missing"
    if one.state == "uncheckable":
        return f"{one.resource} cannot be checked: it has no count and no strict order"
    if one.rounded:
        return f"{one.resource}: {rounded_text(one)}"
    return f"{one.resource}: {one.state}"


def rounded_text(one: ResourceSummary) -> str:
    """Say how many numbers of which fields were rounded."""
    fields = ", ".join(f"{name} ({number:,})" for name, number in sorted(one.rounded.items()))
    return f"numbers with more digits than their columns hold: {fields}; _exact has all digits"


def library(module: str, extra: str, purpose: str) -> Any:
    """Import ``module``. Raises `MissingExtra`, which says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as problem:
        raise MissingExtra(
            f"{purpose} needs {module.partition('.')[0]}, which cannot be imported ({problem}); "
            f"install it with: pip install 'zoho-async[{extra}]'"
        ) from problem
