"""What the sandbox knows of each resource: its rows, its records, its rules and its messages."""
