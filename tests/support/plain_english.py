"""The banned words. A word goes in with the sentence that replaced it in mind."""

from __future__ import annotations

import re

BANNED = re.compile(
    r"""\b(
    nobody | somebody | whoever | whosoever | anew | beside | besides | whence | thereof
    | bury | buries | buried | bore | owed | owes | told | stands | stood
    | of\ its\ own | of\ their\ own | of\ our\ own
    | gone\ on\ with | goes\ on\ with | go\ on\ with | going\ on\ with
    | hangs\ below | what\ hangs | one\ file\ a\ list | calls\ nobody | which\ are\ \d+\ else
    | comes?\ down | brought\ down | that\ is\ none | is\ none\b(?!\ of)
    | no\ matter\ who | what\ is\ asked | that\ there\ is\ none
    | landing | landed | lander | offspring | crowd | papers | desk
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)


def banned_in(text: str) -> list[str]:
    """The banned words of a text."""
    return [match[0].lower() for match in BANNED.finditer(" ".join(text.split()))]
