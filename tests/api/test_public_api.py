"""Nothing public changes without being announced."""

from __future__ import annotations

from tests.api.surface import FILE, surface


def test_the_public_names_are_those_that_were_announced() -> None:
    announced, there = FILE.read_text("utf-8").splitlines(), surface().splitlines()
    gone = sorted(set(announced) - set(there))
    new = sorted(set(there) - set(announced))
    assert (gone, new) == ([], []), (
        "the public names changed: say so in CHANGELOG.md, then run python -m tests.api.surface"
    )
