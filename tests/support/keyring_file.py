"""A keyring in a file, for commands in other processes. ``RING`` names the file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import ClassVar

from keyring.backend import KeyringBackend


class Ring(KeyringBackend):
    """Keeps passwords where the test can read them."""

    priority: ClassVar[float] = 1

    def get_password(self, service: str, username: str) -> str | None:
        return self._kept().get(f"{service}|{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        self._keep({**self._kept(), f"{service}|{username}": password})

    def delete_password(self, service: str, username: str) -> None:
        kept = self._kept()
        del kept[f"{service}|{username}"]
        self._keep(kept)

    def _kept(self) -> dict[str, str]:
        path = Path(os.environ["RING"])
        kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        return kept

    def _keep(self, kept: dict[str, str]) -> None:
        Path(os.environ["RING"]).write_text(json.dumps(kept))
