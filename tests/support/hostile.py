"""Texts that a server may send as an id, a name or a value, and that have broken programs."""

from __future__ import annotations

from typing import Final

#: Names that lead out of a folder or to another file.
PATHS: Final = (
    "../../../../victim",
    "..",
    ".",
    "/victim",
    "//victim",
    "\\\\server\\share",
    "C:\\victim",
    "C:victim",
    "a/b",
    "a\\b",
    "a\0b",
    "~/victim",
    "$HOME",
    ".hidden",
    "a.part",
)
#: Names that Windows cannot store or takes for a device.
WINDOWS: Final = (
    "CON",
    "nul",
    "aux.txt",
    "com1.tar.gz",
    "LPT¹",
    "NUL .txt",
    "CONIN$",
    "a.",
    "a ",
    "a. . .",
    'a<b>c:d"e|f?g*h',
)
#: Names that are too long: in characters, and only in bytes.
LONG: Final = ("x" * 300 + ".pdf", "請求書" * 30 + ".pdf", "a." + "e" * 300, "😀" * 70 + ".pdf")
#: Texts that look like another, or are no characters.
UNSEEN: Final = (
    "invoice\u202efdp.exe",
    "a\u200bb",
    "\ufeffa",
    "a\ud800b",
    "\udc00",
    "a\x1b[2Jb",
    "a\x07b",
    "a\x7fb",
    "a\x85b",
)
#: Texts with a meaning in SQL, for a driver or in a shell.
SQL: Final = (
    '"; DROP TABLE invoices; --',
    "';--",
    'a"b',
    "a'b",
    "`a`",
    "?",
    "a?b",
    "%",
    "%s",
    "%(a)s",
    "%%",
    "$1",
    ":a",
    "\\",
    "\\.",
    "\\N",
    "a\tb",
    "a\nb",
    "a\r\nb",
    "a\\tb",
    "{a,b}",
    '{"a"}',
    "NULL",
    "-",
    "-rf",
    "--",
    "",
    " ",
    "\t",
)
#: Pairs that some file systems or databases treat as equal.
TWINS: Final = (
    ("A", "a"),
    ("\uff21", "\uff41"),
    ("\uff21", "A"),
    ("é", "e\u0301"),
    ("ß", "ss"),
    ("İ", "i"),
    ("a", "a "),
    ("a", "a."),
    ("a/b", "a_b"),
)

EVERY: Final = (*PATHS, *WINDOWS, *LONG, *UNSEEN, *SQL, *(one for pair in TWINS for one in pair))

#: Texts that a database and a UTF-8 file can hold.
STORABLE: Final = tuple(
    one
    for one in dict.fromkeys(EVERY)
    if "\0" not in one and one.encode("utf-8", "ignore").decode() == one
)
