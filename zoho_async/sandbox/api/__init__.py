"""The API of the sandbox: routing, validation, actions and replies."""
