"""The final forms of an export's files: what is made of a complete spool of JSON Lines."""

from zoho_async.export.destinations.directory import Format
from zoho_async.export.destinations.formats.compressed import Gzip, Zstandard
from zoho_async.export.destinations.formats.csv import Csv
from zoho_async.export.destinations.formats.parquet import Parquet

__all__ = ["Csv", "Format", "Gzip", "Parquet", "Zstandard"]
