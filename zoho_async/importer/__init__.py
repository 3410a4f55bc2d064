"""Write records without a doubled and without a lost one: the write journal, imports of files.

`Import` writes the rows of a file or a program, and `undo_import` deletes what it created.
`open_journal` opens the journal, `commit` sends one write through it at most once, and
`WriteSettler` finds out what became of a write whose answer is lost.
"""

from zoho_async.importer.commit import Committed, commit
from zoho_async.importer.documents import CellProblem
from zoho_async.importer.events import (
    ImportEvent,
    ImportPlan,
    ImportProgress,
    ImportSummary,
    RowRefused,
    Settling,
    WrongRows,
)
from zoho_async.importer.job import Import, journal_path
from zoho_async.importer.journal import JournalFailed, RowChanged, WriteJournal, open_journal
from zoho_async.importer.options import ImportOptions
from zoho_async.importer.settle import WriteSettler
from zoho_async.importer.states import WriteState, WrongState
from zoho_async.importer.targets import room_for
from zoho_async.importer.undo import KeptRecord, UndoSummary, undo_import
from zoho_async.importer.writes import Intent, Job, JournaledWrite, TokenRoom

__all__ = [
    "CellProblem",
    "Committed",
    "Import",
    "ImportEvent",
    "ImportOptions",
    "ImportPlan",
    "ImportProgress",
    "ImportSummary",
    "Intent",
    "Job",
    "JournalFailed",
    "JournaledWrite",
    "KeptRecord",
    "RowChanged",
    "RowRefused",
    "Settling",
    "TokenRoom",
    "UndoSummary",
    "WriteJournal",
    "WriteSettler",
    "WriteState",
    "WrongRows",
    "WrongState",
    "commit",
    "journal_path",
    "open_journal",
    "room_for",
    "undo_import",
]
