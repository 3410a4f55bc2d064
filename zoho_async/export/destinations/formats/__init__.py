"""File formats that a complete spool of JSON Lines is converted to."""

from zoho_async.export.destinations.directory import Format
from zoho_async.export.destinations.formats.compressed import Gzip, Zstandard
from zoho_async.export.destinations.formats.csv import Csv
from zoho_async.export.destinations.formats.parquet import Parquet
from zoho_async.export.destinations.formats.xlsx import Xlsx

__all__ = ["Csv", "Format", "Gzip", "Parquet", "Xlsx", "Zstandard"]
