"""Export many organizations on a dask.distributed cluster, one task per list::

    from distributed import Client
    from zoho_async.integrations.dask import export_fleet

    with Client("tcp://scheduler:8786") as client:
        done = export_fleet(client, organizations, ["invoices", "contacts"], to="s3://lake/zoho")
    print(done.rows, done.failed)

Responsibilities
----------------
Dask assigns tasks to workers, repeats the tasks of lost workers and gives work to new ones. This
module keeps the limits across workers and makes tasks idempotent. ``ZOHO_REDIS_URL`` in the
workers' environment names the Redis that they share for limits and tokens.

Model
-----
A run has a name that sorts after earlier runs, by default its start time. A task writes at most one
Parquet file, its *part*. The task alone decides its name::

    TO/books.invoices/organization=10234695/20261123T020000Z.parquet

The first part of a list holds all rows. Later parts hold what was new or changed. If a list cannot
be filtered by change time, each part holds all rows and replaces the older parts.

Invariant
---------
Rows and bookmarks always agree, no matter how often a task runs.

Why it holds
------------
A part is its own commit: its metadata holds the `Bookmark` that it was read from and the one that
it ends at. It is written under a hidden name and renamed in one step.

- A task that runs again finds its part and makes no calls.
- If a task runs twice at once, the first part is kept and the second is dropped. If both are
  renamed at the same moment, the later one replaces the earlier one, and each is complete.
- If a worker pauses for so long that the next run has already continued from the other part, the
  two parts do not follow each other. Then the list is read in full again.

Limit
-----
An interrupted list is read from the start. Use tasks for lists that fit into a day's quota, and
`Export` for longer ones, because it continues where it stopped.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.description import OperationFacts
from zoho_async.errors import TransportError, ZohoError
from zoho_async.export.bookmark import Bookmark, bookmark_of, seed
from zoho_async.export.catalog import exportable, resolve
from zoho_async.export.checkpoint.store import LAYOUT
from zoho_async.export.destinations.directory import Directory
from zoho_async.export.destinations.formats.parquet import Parquet
from zoho_async.export.errors import CheckpointRefused, library
from zoho_async.export.events import ResourceFailed
from zoho_async.export.incremental import Mode, choose, stamp
from zoho_async.export.job import Export
from zoho_async.export.resource_store import table_of
from zoho_async.http.file_names import component
from zoho_async.runtime import Account, unattended
from zoho_async.session import Session

if TYPE_CHECKING:
    from distributed import Client

#: The key of a `Partition` in the metadata of its part.
_METADATA_KEY: Final = "zoho_async"


class Partition(msgspec.Struct, frozen=True, kw_only=True):
    """The part that a task wrote.

    The rows were read from the bookmark ``since`` and end at ``bookmark``. ``mode`` tells how the
    list was read; a part of mode ``full`` replaces the parts before it. ``path`` is empty if
    nothing had changed and no file was written.
    """

    organization: str
    resource: str
    run: str
    path: str
    rows: int
    mode: Mode
    since: Bookmark
    bookmark: Bookmark


_PART: Final = decoder_of(Partition)


class FailedTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task that failed, with its error."""

    organization: str
    resource: str
    error: str


class FleetResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a run over many organizations."""

    run: str
    parts: tuple[Partition, ...]
    failed: tuple[FailedTask, ...]

    @property
    def rows(self) -> int:
        """The rows of all parts."""
        return sum(part.rows for part in self.parts)


def export_fleet(
    client: Client,
    organizations: Sequence[str],
    resources: Sequence[str],
    *,
    to: str,
    run: str | None = None,
    account: Account = unattended,
    storage_options: Mapping[str, Any] | None = None,
    retries: int = 3,
    tell: Callable[[Partition | FailedTask], None] | None = None,
) -> FleetResult:
    """Export lists of many organizations of one account on the workers of ``client``. Blocks.

    ``to`` is a directory that all workers can reach, or a URL that fsspec supports, with
    ``storage_options``. ``run`` names the run; the name of an interrupted run continues it.
    ``account`` opens the session on a worker. By default it reads the worker's environment, so no
    secret is sent. ``retries`` is the number of retries of a task after network errors. ``tell`` is
    called with the result of each task.

    Raises `MissingExtra` without the libraries, `UnknownResource`, and the errors of Dask. Errors
    of tasks are in the result.
    """
    distributed = library("distributed", "dask", "a run over a fleet")
    library("fsspec", "dask", "a run over a fleet")
    from zoho_async.integrations.dask_worker import SessionPlugin

    name = run or stamp(datetime.now(UTC).timestamp())
    lists = [facts.resource for facts in resolve(resources, exportable())]
    # List by list, so that neighboring tasks belong to different organizations and limits.
    tasks = [(one, resource) for resource in lists for one in organizations]
    engine = cast(Any, client)  # the library is only partly typed
    plugin = SessionPlugin(f"zoho-{uuid.uuid4().hex}", account)
    engine.register_plugin(plugin)
    futures: list[Any] = engine.map(
        partial(_task, plugin.name, name, to, dict(storage_options or {})),
        [one for one, _ in tasks],
        [resource for _, resource in tasks],
        key=[f"zoho-{name}-{resource}-{one}-{uuid.uuid4().hex}" for one, resource in tasks],
        retries=retries,
        pure=False,
    )
    task_of = dict(zip((future.key for future in futures), tasks, strict=True))
    ended: list[Partition | FailedTask] = []
    try:
        for future in distributed.as_completed(futures):
            one, resource = task_of[future.key]
            error = future.exception()
            ended.append(
                future.result()
                if error is None
                else FailedTask(
                    organization=one, resource=resource, error=str(error) or repr(error)
                )
            )
            future.release()
            if tell is not None:
                tell(ended[-1])
    finally:
        engine.cancel([future for future in futures if not future.done()])
        engine.unregister_worker_plugin(plugin.name)
    return FleetResult(
        run=name,
        parts=tuple(one for one in ended if isinstance(one, Partition)),
        failed=tuple(one for one in ended if isinstance(one, FailedTask)),
    )


def _task(
    name: str,
    run: str,
    to: str,
    storage_options: Mapping[str, Any],
    organization: str,
    resource: str,
) -> Partition | FailedTask:
    """Export one list of one organization on a worker. Errors worth a retry are raised."""
    from zoho_async.integrations.dask_worker import session_plugin

    try:
        parts = PartitionStore(to, storage_options, organization, exportable()[resource])
        return session_plugin(name).run(partial(_export_partition, parts, run))
    except TransportError:
        raise
    except ZohoError as error:
        return FailedTask(organization=organization, resource=resource, error=str(error))


async def _export_partition(parts: PartitionStore, run: str, zoho: Session) -> Partition:
    """Read the list from the last part on, and write the part of ``run``."""
    import anyio.to_thread

    in_thread = anyio.to_thread.run_sync
    done = await in_thread(parts.find, run)
    if done is not None:
        await in_thread(parts.remove_obsolete, done)
        return done
    since = next_start(parts.facts, await in_thread(parts.last))
    with tempfile.TemporaryDirectory(prefix="zoho-async-") as folder:
        at = Path(folder)
        if since.organization:
            await in_thread(seed, at, parts.facts, since)
        job = Export(zoho.for_organization(parts.organization), [parts.facts.resource], to=at)
        async with job:
            async for event in job:
                if isinstance(event, ResourceFailed):
                    raise event.error
        summary = job.summary.resources[0]
        part = Partition(
            organization=parts.organization,
            resource=parts.facts.resource,
            run=run,
            path=parts.path(run),
            rows=summary.rows,
            mode=summary.mode,
            since=since,
            bookmark=await in_thread(bookmark_of, at, parts.facts, parts.organization, since),
        )
        if not part.rows and part.mode != "full":
            return msgspec.structs.replace(part, path="")
        return await in_thread(parts.commit, part, at)


def next_start(facts: OperationFacts, parts: Sequence[Partition]) -> Bookmark:
    """The bookmark after ``parts``, the oldest first. An empty one means the whole list.

    Raises `CheckpointRefused` for parts of another layout.
    """
    if not parts:
        return Bookmark()
    last = parts[-1]
    if last.bookmark.layout != LAYOUT:
        raise CheckpointRefused(
            f"another version of zoho-async wrote the files of {facts.resource} (layout "
            f"{last.bookmark.layout}, but this version writes {LAYOUT}); remove them and run "
            "again, which reads the list in full, or choose another place"
        )
    follows = last.mode == "full" or (len(parts) > 1 and last.since == parts[-2].bookmark)
    mode = choose(
        facts,
        known=True,
        watermark=last.bookmark.watermark,
        capabilities=last.bookmark.capabilities,
    )
    return last.bookmark if follows and mode in ("changed", "newest") else Bookmark()


class PartitionStore:
    """The parts of one list of one organization. Methods block."""

    def __init__(
        self, to: str, storage_options: Mapping[str, Any], organization: str, facts: OperationFacts
    ) -> None:
        fsspec = library("fsspec", "dask", "a run over a fleet")
        self._parquet: Final[Any] = library("pyarrow.parquet", "dask", "a run over a fleet")
        self._files: Any
        self._files, root = fsspec.core.url_to_fs(to, **storage_options)
        self._folder: Final = f"{root}/{facts.resource}/organization={component(organization)}"
        self.organization: Final = organization
        self.facts: Final = facts

    def path(self, run: str) -> str:
        """The path of the part of ``run``."""
        return f"{self._folder}/{run}.parquet"

    def _temporary_prefix(self, run: str) -> str:
        """The prefix of the hidden names of unfinished parts of ``run``."""
        return f"{self._folder}/.{run}."

    def find(self, run: str) -> Partition | None:
        """The part of ``run``, or None."""
        return self._read(self.path(run)) if self.path(run) in self._partition_files() else None

    def last(self) -> list[Partition]:
        """The last two parts, the older first, for `next_start`."""
        return [self._read(name) for name in self._partition_files()[-2:]]

    def commit(self, part: Partition, directory: Path) -> Partition:
        """Write the rows in ``directory`` as the part, unless another attempt was first."""
        files = Directory(directory).files(part.resource)
        rows = files.full if part.mode == "full" else files.parts()[-1]
        made = directory / "part.parquet"
        metadata = msgspec.json.encode(part).decode()
        table = table_of(part.resource, self.facts)
        Parquet(notes={_METADATA_KEY: metadata}).write(rows, made, table)
        self._files.makedirs(self._folder, exist_ok=True)
        hidden = self._temporary_prefix(part.run) + uuid.uuid4().hex
        try:
            self._files.put_file(str(made), hidden)
            if any(name >= self.path(part.run) for name in self._partition_files()):
                return self.find(part.run) or msgspec.structs.replace(part, path="", rows=0)
            self._files.mv(hidden, self.path(part.run))
        finally:
            if self._files.exists(hidden):
                self._files.rm_file(hidden)
        self.remove_obsolete(part)
        return part

    def remove_obsolete(self, part: Partition) -> None:
        """Remove parts that ``part`` replaces, and unfinished files of earlier runs."""
        for name in self._files_present():
            replaced = _is_partition(name) and part.mode == "full" and name < self.path(part.run)
            half_done = not _is_partition(name) and name < self._temporary_prefix(part.run)
            if replaced or half_done:
                self._files.rm_file(name)

    def _partition_files(self) -> list[str]:
        """The paths of the parts, the oldest first."""
        return sorted(name for name in self._files_present() if _is_partition(name))

    def _files_present(self) -> list[str]:
        self._files.invalidate_cache()
        if not self._files.exists(self._folder):
            return []
        return list(self._files.ls(self._folder, detail=False))

    def _read(self, name: str) -> Partition:
        with self._files.open(name, "rb") as file:
            notes = self._parquet.read_metadata(file).metadata
        return _PART.decode(notes[_METADATA_KEY.encode()])


def _is_partition(name: str) -> bool:
    return name.endswith(".parquet") and not name.rpartition("/")[2].startswith(".")
