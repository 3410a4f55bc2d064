"""Ports for servers that are started with a port."""

from __future__ import annotations

import random
import socket


def free_port() -> int:
    """A port of loopback that nothing listens on.

    Below the range from which systems give ports to connections and to servers that ask for any,
    so that no other program is given it before its server starts.
    """
    while True:
        port = random.SystemRandom().randrange(20_000, 30_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
