"""Texts that a server may send as an id, a name or a value, and that have broken programs."""

from __future__ import annotations

from typing import Final

#: What leads out of a folder, or means another file than it says.
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
#: What Windows cannot store, or takes for a device.
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
#: What is longer than a name may be: in characters, and in bytes only.
LONG: Final = ("x" * 300 + ".pdf", "請求書" * 30 + ".pdf", "a." + "e" * 300, "😀" * 70 + ".pdf")
#: What looks like something else, or is no character.
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
#: What means something to SQL, to a driver, or to a shell.
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
#: Pairs that some file systems or databases take for the same.
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

#: What a database and a file in UTF-8 can hold.
STORABLE: Final = tuple(
    one
    for one in dict.fromkeys(EVERY)
    if "\0" not in one and one.encode("utf-8", "ignore").decode() == one
)
