"""Read lists page by page: every row once, with look-ahead within the limits.

List functions return a `Pager`. `plan` decides which page to fetch next and where the list ends.
`lookahead` fetches pages in advance, `seen` filters repeated ids, `list_query` builds the query and
`source` sends it.
"""

from zoho_async.paging.pager import Page, PageIterator, Pager, RowIterator, RowsPage
from zoho_async.paging.source import PageSource

__all__ = ["Page", "PageIterator", "PageSource", "Pager", "RowIterator", "RowsPage"]
