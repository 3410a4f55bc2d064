"""Plan a job: which lists it reads, and what it reads per record. Nothing here calls Zoho."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from os import PathLike
from pathlib import Path

import msgspec

from zoho_async.description import OperationFacts
from zoho_async.errors import ConfigurationError
from zoho_async.export import incremental
from zoho_async.export.catalog import (
    all_lists,
    check_filters,
    check_since,
    children,
    exportable,
    resolve,
)
from zoho_async.export.checkpoint.store import Checkpoint, ResourceState
from zoho_async.export.destinations.base import Destination, OpenDestination
from zoho_async.export.destinations.directory import Directory
from zoho_async.export.destinations.open import UnknownDestination, open_destination
from zoho_async.export.destinations.single_file import SingleFile
from zoho_async.export.details.operations import details_of, document_sources
from zoho_async.export.details.writer import DetailPlan, DetailWriter, QueuedRecords
from zoho_async.export.feed import ChangeFeed
from zoho_async.export.incremental import Margin
from zoho_async.export.options import ExportOptions
from zoho_async.export.part_begin import open_store
from zoho_async.export.resource_store import RunOptions
from zoho_async.export.shape import HashKey
from zoho_async.export.shape_rules import Shapers, shapers_of
from zoho_async.export.writer import ResourceWriter


@dataclass(frozen=True, kw_only=True)
class JobPlan:
    """The lists of a job and how they are written.

    ``named`` says that the caller named the lists. ``accepted`` are lists that may be short.
    ``folder`` is the directory for documents, if they are saved.
    """

    options: ExportOptions
    lists: Sequence[OperationFacts]
    named: bool
    accepted: Collection[str]
    folder: Path | None
    margin: Margin
    shapers: Shapers

    @classmethod
    def of(
        cls,
        resources: Sequence[str],
        options: ExportOptions,
        destination: Destination,
        *,
        scopes: Collection[str] | None,
        margin: Margin,
        hash_key: HashKey | None = None,
    ) -> JobPlan:
        """Make the plan. Raises `ConfigurationError` for a request that cannot be made."""
        lists = chosen_lists(resources, options, scopes)
        check_destination(destination, lists)
        return cls(
            options=options,
            lists=lists,
            shapers=shapers_of(options, lists, hash_key),
            named=bool(resources),
            accepted={facts.resource for facts in accepted_lists(options.accept)},
            folder=_folder(options, destination),
            margin=margin,
        )

    def with_since(self, since: datetime) -> JobPlan:
        """Return the same plan with a time instead of a date."""
        return replace(self, options=replace(self.options, since=since))

    @property
    def name(self) -> str:
        """What the job is for, as comparable text."""
        resources = sorted(facts.resource for facts in self.lists)
        request = {"resources": resources, "filters": self._filters()}
        return msgspec.json.encode(request).decode()

    def open_writers(
        self,
        checkpoint: Checkpoint,
        destination: OpenDestination,
        facts: OperationFacts,
        now: float,
        feed: ChangeFeed | None = None,
    ) -> tuple[ResourceWriter, DetailWriter | None]:
        """Return the open writer of one list, and that of its details if it has any. Blocks.

        ``now`` is in seconds since 1970, ``feed`` the change feed of the list's product, if any.
        """
        options = RunOptions(
            full=self.options.full,
            restart=self.options.restart,
            detect_deletions=self.options.detect_deletions,
            accept_shorter=self.options.accept_shorter,
            since=self.options.moment,
            narrowed=bool(self.options.filter),
            refresh_since=self.options.refresh_since(now),
            margin=self.margin,
            feed=feed,
            cheapest=self.options.change_feed,
            now=now,
        )
        details = self._details_of(facts.resource, checkpoint.state_of(facts.resource))
        policy = None if details is None else QueuedRecords(details)
        request = self._request_of(facts)
        store = open_store(checkpoint, destination, facts, request, options, policy, self.shapers)
        return ResourceWriter(store), None if details is None else DetailWriter(store, details)

    def _details_of(self, resource: str, before: ResourceState | None) -> DetailPlan | None:
        """Return what is fetched per record in addition to its row, if anything.

        ``before`` is the state of an earlier run. What it fetched per record is fetched in this run
        too, unless everything is exported again from the start.
        """
        child = children().get(resource)
        if child is not None:
            return DetailPlan(child=child)
        if before is None or self.options.restart:
            before = ResourceState(name=resource)
        wanted, earlier = self.options.details, before.details
        details = details_of(resource) if wanted or earlier.full_records else None
        documents = (
            document_sources(resource) if self.folder is not None or earlier.documents else None
        )
        return DetailPlan(details=details, documents=documents) if details or documents else None

    def _request_of(self, facts: OperationFacts) -> str:
        request = {
            "list": facts.name,
            "order": facts.order,
            "filters": self._filters(),
            "since": self.options.moment,
        }
        return msgspec.json.encode(request).decode()

    def _filters(self) -> list[tuple[str, str]]:
        return sorted(self.options.filter.items())


def chosen_lists(
    names: Sequence[str], options: ExportOptions, scopes: Collection[str] | None = None
) -> list[OperationFacts]:
    """Return the lists called ``names``, or every list that ``options`` and ``scopes`` allow.

    Raises `ConfigurationError` for a request that cannot be made.
    """
    known = all_lists() if names else exportable()
    lists = resolve(names, known, filters=options.filter, scopes=scopes)
    if options.since is not None and not names:
        lists = [facts for facts in lists if incremental.asks_changes(facts)]
    check_filters(options.filter, lists)
    if options.since is not None:
        check_since(lists)
    return lists


def accepted_lists(values: Collection[str]) -> list[OperationFacts]:
    """Return the lists in ``short:LIST`` values. Raises `ConfigurationError` for other values."""
    names: list[str] = []
    for value in values:
        what, _, name = value.partition(":")
        if what != "short" or not name:
            raise ConfigurationError(f"--accept takes short:LIST, got {value!r}")
        names.append(name)
    return resolve(names, all_lists()) if names else []


def destination_of(
    to: str | PathLike[str] | Destination,
    options: ExportOptions,
    *,
    organization: str | None = None,
) -> Destination:
    """Return the destination ``to``, not yet open. ``organization`` selects its separate place.

    Raises `UnknownDestination`, `MissingExtra` or `DestinationError`.
    """
    if isinstance(to, str | PathLike):
        return open_destination(
            to, options.format, options.flatten, excel=options.excel, organization=organization
        )
    if options.format is not None or options.flatten or options.excel:
        raise UnknownDestination(
            f"{to.name} is a destination with a format: leave out format, flatten and excel"
        )
    return to


def check_destination(destination: Destination, lists: Sequence[OperationFacts]) -> None:
    """Raise `UnknownDestination` if ``destination`` is a file that cannot hold all ``lists``."""
    if not isinstance(destination, SingleFile):
        return
    most, path = destination.maker.most_lists, destination.path
    if most is None or len(lists) <= most:
        return
    suffix, name = destination.suffix, str(path)
    stem, one = name.removesuffix(suffix), lists[0].resource.removeprefix("books.")
    raise UnknownDestination(
        f"{name} holds one list, and this export has {len(lists)}: name one of them "
        f"(`zoho-async export {one} --to {one}{suffix}`), or write all of them to a directory "
        f"(`--format {suffix[1:]} --to {stem}`) or to a workbook (`--to {stem}.xlsx`)"
    )


def _folder(options: ExportOptions, destination: Destination) -> Path | None:
    """Return the folder for documents, if any. Raises `ConfigurationError` if none is named."""
    if options.files_to is not None:
        return Path(options.files_to)
    if not options.files:
        return None
    if not isinstance(destination, Directory):
        raise ConfigurationError(
            f"{destination.name} cannot hold files: name a directory with --files-to"
        )
    return destination.path
