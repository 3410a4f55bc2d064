"""Rows, records, rules and messages of each resource in the sandbox."""
