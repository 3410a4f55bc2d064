"""The progress of an export, stored with its rows."""
