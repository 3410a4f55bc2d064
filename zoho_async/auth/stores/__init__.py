"""Token stores: memory, a file, the operating system's keyring, or Redis."""
