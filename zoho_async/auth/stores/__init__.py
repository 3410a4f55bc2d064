"""Where tokens are kept: memory, a file, the operating system's keyring, or Redis."""
