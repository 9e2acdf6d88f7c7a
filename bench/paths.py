"""Paths as users write them in a suite: with variables, with ``~``, relative to the suite."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from bench.store import data_root

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class Located(str):
    """A string that remembers where it was written. Otherwise it is the string.

    Attributes:
        base: The folder that relative paths in it count from.
        file: The file it stands in; None where it was given on the command line.
        line: The line it stands on, from 1; None where unknown.
    """

    __slots__ = ("base", "file", "line")

    base: Path
    file: Path | None
    line: int | None

    def __new__(
        cls, text: str, *, base: Path, file: Path | None = None, line: int | None = None
    ) -> Located:
        """Make the string `text` and note where it was written."""
        located = super().__new__(cls, text)
        located.base = base
        located.file = file
        located.line = line
        return located

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Any]]:
        return (str(self),), {"base": self.base, "file": self.file, "line": self.line}


def expand(text: str | Path) -> Path:
    """Return the absolute path a user meant.

    ``$NAME`` and ``${NAME}`` are expanded from the environment (``$BENCH_DATA`` has a default, see
    `bench.store.data_root`), then ``~``. A relative path counts from the `base` of a `Located`,
    else from the current folder.

    Raises:
        ValueError: A variable is not set, there is no such home, or the path is empty.
    """
    expanded = _VARIABLE.sub(lambda match: _variable(match[1] or match[2]), str(text))
    if not expanded or "\0" in expanded:
        raise ValueError("expected the path of a file or folder")
    try:
        path = Path(expanded).expanduser()
    except RuntimeError as error:
        raise ValueError(f"cannot expand '~' in '{text}': {error}") from error
    base = text.base if isinstance(text, Located) else Path()
    return (base / path).absolute()


def _variable(name: str) -> str:
    if name == "BENCH_DATA":
        return str(data_root().absolute())
    value = os.environ.get(name)
    if value is None:
        raise ValueError(f"environment variable ${name} is not set; set it or write the path out")
    return value


def _expand_if_text(value: Any) -> Any:
    return expand(value) if isinstance(value, str | Path) else value


DataPath = Annotated[Path, BeforeValidator(_expand_if_text)]
"""A pydantic field type: the absolute path meant by what stands in the suite (`expand`)."""
