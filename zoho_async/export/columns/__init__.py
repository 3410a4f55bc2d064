"""Rows to typed columns and Arrow tables."""
