"""Exports inside other tools: dlt and Dask."""
