"""Export several organizations at once, each to its own destination::

    every = await zoho.organizations()
    async with Exports(zoho, every, ["invoices"], to="backup") as job:
        await job.follow(print)
    print(job.summary.rows)

Each organization has its own limits, so none waits for another. Each has its own destination and
checkpoint (``backup/10234695/books/invoices.jsonl``; for databases see
`zoho_async.export.destinations.open`), so each can also be exported alone. A failure of one
organization ends only that one. The others continue, and the first failure is raised at the end.
Events and the summary name resources as ``10234695/books.invoices``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Final

import anyio
import msgspec

from zoho_async.errors import ZohoError
from zoho_async.export.errors import ExportError
from zoho_async.export.events import (
    ChangeFeedRead,
    ExportEvent,
    Planned,
    SinceMidnight,
    Summary,
    WaitingForReset,
)
from zoho_async.export.job import Export
from zoho_async.export.options import ExportOptions
from zoho_async.export.plan import destination_of
from zoho_async.export.shape import HashKey
from zoho_async.export.summary import code_of_all
from zoho_async.organizations import KnownOrganization
from zoho_async.session import Session


class Exports:
    """Exports of several organizations, entered together.

    ``organizations`` are ids, or what `Session.organizations` returns. The other parameters are
    those of `Export`. If ``options`` name a folder for documents, each organization has its own
    folder in it. ``max_calls`` is the largest number of calls of each organization.

    If Zoho refuses an organization, for example because its subscription is over, its lists are
    refused (`zoho_async.export.outcomes`): they are reported once, and the others are exported.
    Later runs ask for one list of it.

    If the destination of an organization is refused, the others are exported all the same. The
    error is raised at the end, or on entering if no organization is left.
    """

    def __init__(
        self,
        zoho: Session,
        organizations: Sequence[str | KnownOrganization],
        resources: Sequence[str] = (),
        *,
        to: str | PathLike[str],
        options: ExportOptions = ExportOptions(),  # noqa: B008 - a frozen value
        scopes: Collection[str] | None = None,
        hash_key: HashKey | None = None,
    ) -> None:
        self._name: Final = destination_of(to, options).name
        self._jobs: Final[dict[str, Export]] = {}
        for each in organizations:
            one, time_zone = (each, None) if isinstance(each, str) else (each.id, each.time_zone)
            self._jobs[one] = Export(
                zoho.for_organization(one),
                resources,
                to=destination_of(to, options, organization=one),
                options=_options_of(one, options),
                time_zone=time_zone,
                scopes=scopes,
                one_of_several=True,
                hash_key=hash_key,
            )
        self._entered: Final = AsyncExitStack()
        self._errors: Final[list[Exception]] = []
        self._calls_before = 0  # of organizations whose destination is refused
        self._plans: Final[dict[str, Planned]] = {}

    async def __aenter__(self) -> Exports:
        try:
            for one, job in list(self._jobs.items()):
                try:
                    await self._entered.enter_async_context(job)
                except ExportError as error:
                    self._errors.append(error)
                    self._calls_before += job.calls
                    del self._jobs[one]
            if self._errors and not self._jobs:
                raise self._errors[0]
        except BaseException:
            await self._entered.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._entered.aclose()

    @property
    def summary(self) -> Summary:
        """The summary of all runs. Raises `RuntimeError` before their end."""
        all_of_them = together(self._name, {one: job.summary for one, job in self._jobs.items()})
        return msgspec.structs.replace(all_of_them, calls=all_of_them.calls + self._calls_before)

    async def plan(self) -> Planned:
        """Return the plan of all exports (`Export.plan`) instead of running them.

        Raises the first failure after all have been planned.
        """
        plans: dict[str, Planned] = {}

        async def plan_one(organization: str, job: Export) -> None:
            try:
                plans[organization] = labelled_plan(await job.plan(), organization)
            except ZohoError as error:
                self._errors.append(error)

        async with anyio.create_task_group() as group:
            for one, job in self._jobs.items():
                group.start_soon(plan_one, one, job)
        if self._errors:
            raise self._errors[0]
        return planned_together([plans[one] for one in self._jobs])

    async def follow(self, show: Callable[[ExportEvent], None]) -> None:
        """Run all exports to their ends. ``show`` gets every event.

        Raises the first failure after all have ended.
        """
        async with anyio.create_task_group() as group:
            for one, job in self._jobs.items():
                group.start_soon(self._follow_one, one, job, show)
        if self._errors:
            raise self._errors[0]

    async def _follow_one(
        self, organization: str, job: Export, show: Callable[[ExportEvent], None]
    ) -> None:
        try:
            async for event in job:
                named = labelled(event, organization)
                if not isinstance(named, Planned):
                    show(named)
                    continue
                self._plans[organization] = named
                show(planned_together(list(self._plans.values())))
        except ZohoError as error:
            self._errors.append(error)


def _options_of(organization: str, options: ExportOptions) -> ExportOptions:
    """Return the options of one organization. Its destination already has its format."""
    folder = options.files_to
    own = None if folder is None else Path(folder, organization)
    return replace(options, format=None, flatten=False, excel=False, files_to=own)


def labelled(event: ExportEvent, organization: str) -> ExportEvent:
    """Return ``event`` with ``organization`` in the names of its resources."""
    if isinstance(event, SinceMidnight | ChangeFeedRead | WaitingForReset):
        return event
    if isinstance(event, Planned):
        return labelled_plan(event, organization)
    return msgspec.structs.replace(event, resource=f"{organization}/{event.resource}")


def labelled_plan(plan: Planned, organization: str) -> Planned:
    """Return ``plan`` with ``organization`` in the names of its resources."""
    resources = tuple(
        msgspec.structs.replace(one, resource=f"{organization}/{one.resource}")
        for one in plan.resources
    )
    return msgspec.structs.replace(plan, resources=resources)


def planned_together(plans: Sequence[Planned]) -> Planned:
    """Join plans into one. Organizations run in parallel, so the longest time counts."""
    days = [plan.days for plan in plans]
    return Planned(
        resources=tuple(one for plan in plans for one in plan.resources),
        rows=sum(plan.rows for plan in plans),
        calls=sum(plan.calls for plan in plans),
        seconds=max(plan.seconds for plan in plans),
        exact=all(plan.exact for plan in plans),
        days=None if None in days else max(filter(None, days), default=None),
        calls_made=sum(plan.calls_made for plan in plans),
        feed_calls=sum(plan.feed_calls for plan in plans),
    )


def together(directory: str, summaries: dict[str, Summary]) -> Summary:
    """Join the summaries of several organizations into one."""
    every = list(summaries.values())
    resources = tuple(
        msgspec.structs.replace(one, resource=f"{name}/{one.resource}")
        for name, summary in summaries.items()
        for one in summary.resources
    )
    return Summary(
        organization=", ".join(summaries),
        directory=directory,
        resources=resources,
        done=all(one.done for one in every),
        rows=sum(one.rows for one in every),
        rows_new=sum(one.rows_new for one in every),
        calls=sum(one.calls for one in every),
        least_calls=sum(one.least_calls for one in every),
        refused=sum(one.refused for one in every),
        seconds=max((one.seconds for one in every), default=0.0),
        records=sum(one.records for one in every),
        files=sum(one.files for one in every),
        rounded=sum(one.rounded for one in every),
        exit_code=code_of_all(resources),
        planned_calls=sum(one.planned_calls for one in every),
        plan_exact=all(one.plan_exact for one in every),
        feeds=tuple(feed for one in every for feed in one.feeds),
    )
