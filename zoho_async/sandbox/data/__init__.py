"""The sandbox's records, files and sample data."""
