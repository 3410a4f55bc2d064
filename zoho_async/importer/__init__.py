"""Write records without a doubled and without a lost one: the write journal, imports of files.

`open_journal` opens the journal, `commit` sends one write through it at most once, and
`WriteSettler` finds out what became of a write whose answer is lost.
"""

from zoho_async.importer.commit import Committed, commit
from zoho_async.importer.journal import RowChanged, WriteJournal, open_journal
from zoho_async.importer.settle import WriteSettler
from zoho_async.importer.states import WriteState, WrongState
from zoho_async.importer.targets import room_for
from zoho_async.importer.writes import Intent, Job, JournaledWrite, TokenRoom

__all__ = [
    "Committed",
    "Intent",
    "Job",
    "JournaledWrite",
    "RowChanged",
    "TokenRoom",
    "WriteJournal",
    "WriteSettler",
    "WriteState",
    "WrongState",
    "commit",
    "open_journal",
    "room_for",
]
