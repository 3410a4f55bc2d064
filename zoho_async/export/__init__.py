"""Bulk export jobs: all rows of an organization's lists, each once, and then every change.

`Export` is the job. Its modules, from the decision to the disk: `catalog` (which lists there are),
`modes` (how each is read this time), `plan` (what that costs), `job`, `reading` and `walk` (the
run), `passes`, `tries` and `proving` (whether it missed anything), `outcomes` (the state of each
list and the exit code), `sweep` (what was deleted), `lander` and `landing` (where pages come
down), `state` and `known` (what is remembered). What lists do not tell: `below` (lists below
records) and `records` (details, documents), `queue`, `following`, `further`, `offspring` and
`documents` (asking for them, and where that comes down). The place: `destination` (what is asked of
it), `places` (which one is meant), `directory`, `statefile`, `jsonl` and `formats` (the place made
of files), and `databases`.
"""

from zoho_async.export.catalog import exportable
from zoho_async.export.destination import Database, Destination, Place, Recorded, Sink, Table
from zoho_async.export.directory import Directory, Format
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
    DocumentFailed,
    ExportEvent,
    FurtherPlanned,
    FurtherProgress,
    LookingAgain,
    Parked,
    Planned,
    PlannedResource,
    Progress,
    ResourceDone,
    ResourceFailed,
    ResourceSummary,
    Summary,
    Sweeping,
)
from zoho_async.export.job import Export
from zoho_async.export.merge import Merged, merge
from zoho_async.export.modes import Margin
from zoho_async.export.organizations import Exports
from zoho_async.export.places import UnknownPlace, open_destination

__all__ = [
    "CheckpointRefused",
    "Database",
    "Destination",
    "DestinationChanged",
    "DestinationError",
    "Directory",
    "DocumentFailed",
    "Export",
    "ExportError",
    "ExportEvent",
    "ExportRunning",
    "Exports",
    "Format",
    "FurtherPlanned",
    "FurtherProgress",
    "LookingAgain",
    "Margin",
    "Merged",
    "Parked",
    "Place",
    "Planned",
    "PlannedResource",
    "Progress",
    "Recorded",
    "ResourceDone",
    "ResourceFailed",
    "ResourceSummary",
    "Sink",
    "Summary",
    "Sweeping",
    "Table",
    "UnknownFilter",
    "UnknownPlace",
    "UnknownResource",
    "exportable",
    "merge",
    "open_destination",
]
