"""Export lists of an organization: every record once, then the changes of each later run.

`Export` runs a job for one organization, `Exports` one job per organization.

Jobs:
    options       the options of an export, the same for the command and for Python
    job           one export job and its tasks
    plan          which lists a job reads, and what it reads per record
    summary       the plan that a run reports, and its summary
    multi         several organizations, one job each
    run           one job as an ordinary function call, for schedulers
    events        the events of a running job, and its summary
    outcomes      the state of each list at the end, and the exit code
    errors        the errors of exports
    catalog       which lists can be exported
    reports       export a report to a table, period by period
    report_catalog  the names of reports and the columns of their tables
    report_rows   the rows of such a table, and their keys
    estimate      how many calls a list takes, and how long they last

Reading:
    incremental   how a list is read: in full, or only what changed
    capabilities  probe which filters of a list work
    fetch         fetch list pages and single records
    reader        read one list to its end
    pass_reader   read the pages of one pass over a list
    passes        count the records of each pass
    prover        prove that a list is complete
    tries         choose what to try next for that
    deletions     find records that were deleted
    feed          read the change feed, which names what was changed
    feed_pass     use the change feed for one list
    cost          choose the cheapest way to read a list

Writing:
    resource_store  the rows, the record index and the state of one resource
    part_begin    begin or continue the part of a resource
    writer        write the pages of one list
    write_queue   write the waiting pages of all lists together
    part_end      complete the part of a resource
    bookmark      continue an export whose rows were moved to another place
    checkpoint/   the progress of a job, on disk
    details/      full records, children and documents
    columns/      rows as typed columns
    destinations/ files and databases
"""

from zoho_async.export.catalog import exportable
from zoho_async.export.columns.observed import SchemaChange
from zoho_async.export.destinations.base import (
    Database,
    Destination,
    OpenDestination,
    Origin,
    RecordedContents,
    Sink,
    Table,
)
from zoho_async.export.destinations.directory import Directory, Format
from zoho_async.export.destinations.merge import MergeResult, merge
from zoho_async.export.destinations.open import UnknownDestination, open_destination
from zoho_async.export.destinations.remote import Remote
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
    ChangeFeedRead,
    DetailsPlanned,
    DetailsProgress,
    DetectingDeletions,
    DocumentFailed,
    ExportEvent,
    FilterUnconfirmed,
    NextPass,
    Planned,
    PlannedResource,
    Progress,
    RecordsLeftOut,
    ResourceDone,
    ResourceFailed,
    ResourceSummary,
    SchemaChanged,
    SinceMidnight,
    Summary,
    WaitingForReset,
)
from zoho_async.export.incremental import Margin
from zoho_async.export.job import Export
from zoho_async.export.multi import Exports
from zoho_async.export.options import ExportOptions
from zoho_async.export.reports import ReportTable, export_report

__all__ = [
    "ChangeFeedRead",
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
    "ExportOptions",
    "ExportRunning",
    "Exports",
    "FilterUnconfirmed",
    "Format",
    "Margin",
    "MergeResult",
    "NextPass",
    "OpenDestination",
    "Origin",
    "Planned",
    "PlannedResource",
    "Progress",
    "RecordedContents",
    "RecordsLeftOut",
    "Remote",
    "ReportTable",
    "ResourceDone",
    "ResourceFailed",
    "ResourceSummary",
    "SchemaChange",
    "SchemaChanged",
    "SinceMidnight",
    "Sink",
    "Summary",
    "Table",
    "UnknownDestination",
    "UnknownFilter",
    "UnknownResource",
    "WaitingForReset",
    "export_report",
    "exportable",
    "merge",
    "open_destination",
]
