"""The examples in the documentation: its code blocks, compiled."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from types import CodeType

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def blocks(page: Path, language: str = "python") -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


def compiled(block: str, name: str) -> CodeType:
    """Compile a block, in which ``await`` may occur at the top level.

    The block does not inherit the future imports of this module.
    """
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code: CodeType = compile(block, name, "exec", flags=flags, dont_inherit=True)
    return code
