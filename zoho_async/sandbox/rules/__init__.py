"""The rules of documents that hold money: tier 2 of the sandbox."""
