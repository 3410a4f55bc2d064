"""The ``zoho-async`` command: a thin shell over the library.

Exit codes, the same for every subcommand:

====  ==========================================================================================
0     done
1     failed: some or all of it was not done, and running the same again may help
2     bad usage or configuration: nothing was done until an argument, credential or setting is put
      right
3     the organization's calls for the day are used up; run the same again after the reset
130   interrupted by Ctrl-C (SIGINT)
143   interrupted by SIGTERM
====  ==========================================================================================

What a person should know goes to stderr, what was asked for to stdout. The command is the extra
``cli``; ``import zoho_async`` loads nothing of this.
"""

from __future__ import annotations

import sys
from typing import Final

#: What the extra ``cli`` brings.
_EXTRA: Final = frozenset({"cyclopts", "rich"})


def main() -> None:
    """The command's entry point; ends the process with one of the exit codes above."""
    try:
        from zoho_async.cli.app import run
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in _EXTRA:
            raise
        print(
            "zoho-async: the command needs its extra; install it with: "
            "python -m pip install 'zoho-async[cli]'",
            file=sys.stderr,
        )
        sys.exit(2)
    sys.exit(run())
