"""Whether a reading of a list is complete, in one word.

- ``proven``: for the moment at which some pass brought the list's total, exactly that many ids
  are known to have existed before and after it.
- ``uncheckable``: the list gives no count and has no strict order, so nothing can be proven.
- ``changed``: the list changed while it was read, so no pass could be proven.
- ``short``: the list counts more records than were found.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

Completeness: TypeAlias = Literal["proven", "uncheckable", "changed", "short"]
