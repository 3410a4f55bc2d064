"""The sandbox's books: a general ledger that is derived from its documents, and its reports."""
