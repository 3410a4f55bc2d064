"""How far an export got, on disk."""
