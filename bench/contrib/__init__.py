"""Every plugin module, built-in or local, importable as ``bench.contrib.NAME``.

The package's path *is* the list of plugin folders: its own folder (where a wheel carries the
built-ins), the source tree's ``plugins/``, and the folders of ``$BENCH_PLUGINS``. Spawned workers
import a plugin's classes by name, so the list must follow from the environment alone.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

PACKAGE_FOLDER = Path(__file__).parent
PROJECT_NAME = "depth-bench"


def source_tree() -> Path | None:
    """The checkout this package is imported from, or None when it is installed from a wheel.

    A foreign ``plugins/`` beside site-packages must not be adopted, so the folder counts only where
    this project's own ``pyproject.toml`` stands in it.
    """
    root = PACKAGE_FOLDER.parent.parent
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return root if project.get("project", {}).get("name") == PROJECT_NAME else None


def plugin_folders() -> list[Path]:
    """The folders plugins are looked for in, built-ins first, each once."""
    root = source_tree()
    built_in = PACKAGE_FOLDER if root is None else root / "plugins"
    named = os.environ.get("BENCH_PLUGINS", "").split(os.pathsep)
    local = [Path(name).expanduser().resolve() for name in named if name]
    return list(dict.fromkeys([built_in, *local]))


def refresh_path() -> None:
    """Take up a change of ``$BENCH_PLUGINS`` made after this package was imported."""
    __path__[:] = [str(folder) for folder in plugin_folders()]


refresh_path()
