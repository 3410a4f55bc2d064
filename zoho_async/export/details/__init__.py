"""Fetch what a list leaves out of its records: full records, children and documents."""
