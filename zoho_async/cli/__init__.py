"""The ``zoho-async`` command: a thin shell over the library.

Exit codes, the same for every subcommand:

====  ==========================================================================================
0     done
1     failed: some or all work was not done; running the same command again may help
2     wrong usage or configuration: correct an argument, a credential or a setting
3     the day's calls are used up; run the same command again after the reset
4     an export is done, but a list is not complete (see ``docs/howto/completeness.md``)
130   interrupted by Ctrl-C (SIGINT)
143   interrupted by SIGTERM
====  ==========================================================================================

Results go to stdout, messages to stderr. The command needs the extra ``cli``.
``import zoho_async`` loads none of its modules.
"""

from __future__ import annotations

import sys
from typing import Final

#: Packages of the extra ``cli``.
_EXTRA: Final = frozenset({"cyclopts", "rich"})


def main() -> None:
    """Run the command and end the process with one of the exit codes above."""
    try:
        from zoho_async.cli.app import run
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in _EXTRA:
            raise
        print(
            "zoho-async: the command needs the extra `cli`; install it with: "
            "python -m pip install 'zoho-async[cli]'",
            file=sys.stderr,
        )
        sys.exit(2)
    sys.exit(run())
