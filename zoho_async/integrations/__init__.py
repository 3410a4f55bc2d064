"""Adapters that run exports in dlt and Dask."""
