"""A keyring in memory."""

from __future__ import annotations

from typing import ClassVar

import keyring
import keyring.backend


class Ring(keyring.backend.KeyringBackend):
    """A keyring that lives as long as the test."""

    priority: ClassVar[float] = 1
    kept: dict[tuple[str, str], str]

    def __init__(self) -> None:
        self.kept = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]
