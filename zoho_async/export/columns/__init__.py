"""Convert rows to typed columns and Arrow tables."""
