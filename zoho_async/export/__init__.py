"""Bulk export jobs: all rows of an organization's lists, each once, whatever happens.

`Export` is the job. Its modules, from the decision to the disk: `catalog` (which lists there are),
`plan` (what they cost), `job` and `reading` (the run), `walk` (going on with an interrupted list),
`landing` (where a page comes down), `checkpoint`, `seen` and `jsonl` (what is on the disk).
"""

from zoho_async.export.catalog import exportable
from zoho_async.export.errors import (
    CheckpointRefused,
    DestinationError,
    ExportError,
    ExportRunning,
    UnknownFilter,
    UnknownResource,
)
from zoho_async.export.events import (
    ExportEvent,
    Planned,
    PlannedResource,
    Progress,
    ResourceDone,
    ResourceFailed,
    ResourceSummary,
    Summary,
)
from zoho_async.export.job import Export

__all__ = [
    "CheckpointRefused",
    "DestinationError",
    "Export",
    "ExportError",
    "ExportEvent",
    "ExportRunning",
    "Planned",
    "PlannedResource",
    "Progress",
    "ResourceDone",
    "ResourceFailed",
    "ResourceSummary",
    "Summary",
    "UnknownFilter",
    "UnknownResource",
    "exportable",
]
