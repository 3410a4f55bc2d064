"""Read lists page by page: every row once, with look-ahead within the limits.

List functions return a `Pager`. `plan` decides which page to fetch next and where the list ends.
`lookahead` fetches pages in advance, `seen` filters repeated ids, `list_query` builds the query and
`source` sends it.
"""

from zoho_async.paging.pager import PageIterator, Pager, RowIterator
from zoho_async.paging.source import PageSource
from zoho_async.wire import Page

__all__ = ["Page", "PageIterator", "PageSource", "Pager", "RowIterator"]
