"""A server for agents over the Model Context Protocol: ``zoho-async mcp``.

`tools` are the tools, `server` and `http` serve them. `allowed` decides which operations can be
called, `pages` cuts results, `mirror` answers SQL from a copy of an export, and `proposals` keeps
writes until a person approves them. The server needs the extra ``mcp``.
"""
