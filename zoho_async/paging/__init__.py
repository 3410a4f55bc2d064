"""Rows out of numbered pages: every row once, fetched ahead within the limits.

`Pager` is what list functions return. `plan` decides which page may be asked for and where the list
ends, `walk` fetches ahead, `seen` remembers ids, `list_query` knows what is asked, `source` asks.
"""

from zoho_async.paging.pager import Page, PageIterator, Pager, RowIterator, RowsPage
from zoho_async.paging.source import PageSource

__all__ = ["Page", "PageIterator", "PageSource", "Pager", "RowIterator", "RowsPage"]
