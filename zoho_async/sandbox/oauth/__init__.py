"""The accounts server of the sandbox."""
