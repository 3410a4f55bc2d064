"""Many organizations on many machines: one task for each list, on a dask.distributed cluster::

    from distributed import Client
    from zoho_async.integrations.dask import export_fleet

    with Client("tcp://scheduler:8786") as client:
        done = export_fleet(client, organizations, ["invoices", "contacts"], to="s3://lake/zoho")
    print(done.rows, done.failed)

**Who does what.** Which worker does a task, that it is done again when its worker is lost, and
that new workers get work is the engine's affair. Ours is that the limits hold whoever calls
(``ZOHO_REDIS_URL`` in the workers' environment names the Redis that all of them share, for limits
and tokens), and that it makes no difference how often a task is done.

**Parts.** A run has a name that sorts after those of earlier runs, by default the moment of its
begin. A task leaves at most one Parquet file, its *part*, under a name that only the task decides::

    TO/books.invoices/organization=10234695/20261123T020000Z.parquet

The first part of a list holds all of it, each later one what was new or changed since. Where a list
cannot be asked for changes every part holds all of it, and takes the place of the older ones.

**What makes it exact.** The part is its own commit: its metadata hold how far its rows lead
(`Bookmark`) and what they were read from. It is written under a name that no reader looks at, and
moved to its own in one step. So there is no moment at which rows and state disagree, and nothing to
put right after a loss. Done again, a task finds the part and is done, without a call. Done twice at
once (a worker that was taken for lost and was not), the first part stands and the second is
dropped; should both be moved within the same moment, the later replaces the earlier, each of them
whole. And a worker that stood still so long that the next run has read on from the other one leaves
two parts that do not follow each other: then the list is read whole again.

A list that is interrupted is read from its beginning. So a task is for lists that a day's quota
suffices for; longer ones are for `Export`, which goes on where it was.
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
from zoho_async.export.destinations.directory import Directory
from zoho_async.export.destinations.formats.parquet import Parquet
from zoho_async.export.events import ResourceFailed
from zoho_async.export.incremental import Mode, choose, stamp
from zoho_async.export.job import Export
from zoho_async.export.optional import library
from zoho_async.export.writer import table_of
from zoho_async.http.file_names import component
from zoho_async.runtime import Account, unattended
from zoho_async.session import Session

if TYPE_CHECKING:
    from distributed import Client

#: Where a part's metadata hold its `Partition`.
_NOTE: Final = "zoho_async"


class Partition(msgspec.Struct, frozen=True, kw_only=True):
    """What a task left: its rows, how far they lead, and what they were read from.

    ``mode`` is how the list was read; a part of the mode ``full`` replaces those before it.
    ``path`` is empty where nothing had changed, and no file was left.
    """

    organization: str
    resource: str
    run: str
    path: str
    rows: int
    mode: Mode
    since: Bookmark
    reached: Bookmark


_PART: Final = decoder_of(Partition)


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """A task that did not come to its end, and why."""

    organization: str
    resource: str
    error: str


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """What a run over a fleet did."""

    run: str
    parts: tuple[Partition, ...]
    failed: tuple[Failed, ...]

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
    tell: Callable[[Partition | Failed], None] | None = None,
) -> Fleet:
    """Export lists of many organizations of one account, on ``client``'s workers. Blocks.

    ``to`` is a directory that all workers reach, or the URL of any store that fsspec knows, with
    ``storage_options`` for it. ``run`` names the run: given the name of one that was interrupted,
    it goes on with that. ``account`` opens the session on a worker, by default that of the worker's
    own environment, so that no secret travels. ``retries`` are those of a task that failed for the
    network's sake. ``tell`` is told of each task as it ends.

    Raises `MissingExtra` without the libraries, `UnknownResource`, and what the engine raises; what
    a task fails with is in the result.
    """
    distributed = library("distributed", "dask", "a run over a fleet")
    library("fsspec", "dask", "a run over a fleet")
    from zoho_async.integrations.dask_worker import SessionPlugin

    name = run or stamp(datetime.now(UTC).timestamp())
    lists = [facts.resource for facts in resolve(resources, exportable())]
    # All organizations of one list before the next list: neighbours do not share limits.
    tasks = [(one, resource) for resource in lists for one in organizations]
    engine = cast(Any, client)  # what the library says of its types is partly nothing
    desk = SessionPlugin(f"zoho-{uuid.uuid4().hex}", account)
    engine.register_plugin(desk)
    futures: list[Any] = engine.map(
        partial(_task, desk.name, name, to, dict(storage_options or {})),
        [one for one, _ in tasks],
        [resource for _, resource in tasks],
        key=[f"zoho-{name}-{resource}-{one}-{uuid.uuid4().hex}" for one, resource in tasks],
        retries=retries,
        pure=False,
    )
    of = dict(zip((future.key for future in futures), tasks, strict=True))
    ended: list[Partition | Failed] = []
    try:
        for future in distributed.as_completed(futures):
            one, resource = of[future.key]
            error = future.exception()
            ended.append(
                future.result()
                if error is None
                else Failed(organization=one, resource=resource, error=str(error) or repr(error))
            )
            future.release()
            if tell is not None:
                tell(ended[-1])
    finally:
        engine.cancel([future for future in futures if not future.done()])
        engine.unregister_worker_plugin(desk.name)
    return Fleet(
        run=name,
        parts=tuple(one for one in ended if isinstance(one, Partition)),
        failed=tuple(one for one in ended if isinstance(one, Failed)),
    )


def _task(
    name: str,
    run: str,
    to: str,
    storage_options: Mapping[str, Any],
    organization: str,
    resource: str,
) -> Partition | Failed:
    """One list of one organization; on a worker. What is worth another try is raised."""
    from zoho_async.integrations.dask_worker import desk

    try:
        parts = Parts(to, storage_options, organization, exportable()[resource])
        return desk(name).carry_out(partial(_exported, parts, run))
    except TransportError:
        raise
    except ZohoError as error:
        return Failed(organization=organization, resource=resource, error=str(error))


async def _exported(parts: Parts, run: str, zoho: Session) -> Partition:
    """Read the list from where its parts lead to, and leave the part of ``run``."""
    import anyio.to_thread

    in_thread = anyio.to_thread.run_sync
    done = await in_thread(parts.of, run)
    if done is not None:
        await in_thread(parts.tidy, done)
        return done
    since = leads_to(parts.facts, await in_thread(parts.last))
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
            reached=await in_thread(bookmark_of, at, parts.facts, parts.organization, since),
        )
        if not part.rows and part.mode != "full":
            return msgspec.structs.replace(part, path="")
        return await in_thread(parts.leave, part, at)


def leads_to(facts: OperationFacts, parts: Sequence[Partition]) -> Bookmark:
    """What the next run reads from, after ``parts`` (the oldest first); nothing: the whole list."""
    if not parts:
        return Bookmark()
    last = parts[-1]
    follows = last.mode == "full" or (len(parts) > 1 and last.since == parts[-2].reached)
    mode = choose(
        facts, known=True, watermark=last.reached.watermark, capabilities=last.reached.capabilities
    )
    return last.reached if follows and mode in ("changed", "newest") else Bookmark()


class Parts:
    """The parts of one list of one organization. Blocking."""

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
        """Where the part of ``run`` is."""
        return f"{self._folder}/{run}.parquet"

    def _hidden(self, run: str) -> str:
        """How the names begin under which attempts write the part of ``run``."""
        return f"{self._folder}/.{run}."

    def of(self, run: str) -> Partition | None:
        """The part of ``run``, where it is there."""
        return self._read(self.path(run)) if self.path(run) in self._names() else None

    def last(self) -> list[Partition]:
        """The last two parts, the older first: what `leads_to` looks at."""
        return [self._read(name) for name in self._names()[-2:]]

    def leave(self, part: Partition, directory: Path) -> Partition:
        """Make the rows in ``directory`` the part, unless another attempt was first."""
        files = Directory(directory).files(part.resource)
        rows = files.full if part.mode == "full" else files.parts()[-1]
        made = directory / "part.parquet"
        note = msgspec.json.encode(part).decode()
        table = table_of(part.resource, self.facts)
        Parquet(notes={_NOTE: note}).write(rows, made, table)
        self._files.makedirs(self._folder, exist_ok=True)
        hidden = self._hidden(part.run) + uuid.uuid4().hex
        try:
            self._files.put_file(str(made), hidden)
            if any(name >= self.path(part.run) for name in self._names()):
                return self.of(part.run) or msgspec.structs.replace(part, path="", rows=0)
            self._files.mv(hidden, self.path(part.run))
        finally:
            if self._files.exists(hidden):
                self._files.rm_file(hidden)
        self.tidy(part)
        return part

    def tidy(self, part: Partition) -> None:
        """Remove what ``part`` replaces, and what workers of earlier runs left half done."""
        for name in self._everything():
            replaced = _is_part(name) and part.mode == "full" and name < self.path(part.run)
            half_done = not _is_part(name) and name < self._hidden(part.run)
            if replaced or half_done:
                self._files.rm_file(name)

    def _names(self) -> list[str]:
        """The parts, the oldest first."""
        return sorted(name for name in self._everything() if _is_part(name))

    def _everything(self) -> list[str]:
        self._files.invalidate_cache()
        if not self._files.exists(self._folder):
            return []
        return list(self._files.ls(self._folder, detail=False))

    def _read(self, name: str) -> Partition:
        with self._files.open(name, "rb") as file:
            notes = self._parquet.read_metadata(file).metadata
        return _PART.decode(notes[_NOTE.encode()])


def _is_part(name: str) -> bool:
    return name.endswith(".parquet") and not name.rpartition("/")[2].startswith(".")
