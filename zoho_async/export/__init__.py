"""Bulk export jobs: all rows of an organization's lists, each once, and then every change.

`Export` is the job. Its modules, from the decision to the disk: `catalog` (which lists there are),
`modes` (how each is read this time), `plan` (what that costs), `job`, `reading` and `walk` (the
run), `passes`, `tries` and `proving` (whether it missed anything), `outcomes` (the state of each
list and the exit code), `sweep` (what was deleted), `write_queue` and `writer` (where pages come
down), `state` and `known` (what is remembered). What lists do not tell: `below` (lists below
records) and `records` (details, documents), `queue`, `detail_fetcher`, `detail_plan`, `children` and
`documents` (asking for them, and where that comes down). The place: `destination` (what is asked of
it), `places` (which one is meant), `directory`, `statefile`, `jsonl` and `formats` (the place made
of files), and `databases`.
"""

from zoho_async.export.catalog import exportable
from zoho_async.export.destinations.base import Database, Destination, Origin, Recorded, Sink, Table
from zoho_async.export.destinations.directory import Directory, Format
from zoho_async.export.destinations.merge import Merged, merge
from zoho_async.export.destinations.open import UnknownPlace, open_destination
from zoho_async.export.errors import (
    CheckpointRefused,
    DestinationChanged,
    DestinationError,
    ExportError,
    ExportRunning,
    UnknownFilter,
    UnknownResource,
)
from zoho_async.export.events import (
    DetailsPlanned,
    DetailsProgress,
    DetectingDeletions,
    DocumentFailed,
    ExportEvent,
    NextPass,
    Planned,
    PlannedResource,
    Progress,
    ResourceDone,
    ResourceFailed,
    ResourceSummary,
    Summary,
    WaitingForReset,
)
from zoho_async.export.incremental import Margin
from zoho_async.export.job import Export
from zoho_async.export.multi import Exports

__all__ = [
    "CheckpointRefused",
    "Database",
    "Destination",
    "DestinationChanged",
    "DestinationError",
    "DetailsPlanned",
    "DetailsProgress",
    "DetectingDeletions",
    "Directory",
    "DocumentFailed",
    "Export",
    "ExportError",
    "ExportEvent",
    "ExportRunning",
    "Exports",
    "Format",
    "Margin",
    "Merged",
    "NextPass",
    "Origin",
    "Planned",
    "PlannedResource",
    "Progress",
    "Recorded",
    "ResourceDone",
    "ResourceFailed",
    "ResourceSummary",
    "Sink",
    "Summary",
    "Table",
    "UnknownFilter",
    "UnknownPlace",
    "UnknownResource",
    "WaitingForReset",
    "exportable",
    "merge",
    "open_destination",
]
