"""What the artifact store holds: listing it and pruning it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import StoreError
from bench.records import load_records
from bench.store import cache_root

if TYPE_CHECKING:
    from rich.console import Console

DAY = 86400.0


@dataclass(frozen=True)
class Artifact:
    """One thing in the store.

    Attributes:
        kind: fits, checkpoints (of unfinished fits), predictions, pictures, segments,
            data, ranks (of leaderboards) or logs.
        path: Its folder or file.
        size: Bytes on disk.
        modified: Unix time of its last change.
        suites: The suites whose records here came from it.
        label: What those records call it.
    """

    kind: str
    path: Path
    size: int
    modified: float
    suites: tuple[str, ...]
    label: str

    def as_json(self) -> dict[str, Any]:
        """The stable form of ``bench cache list --json``."""
        return {
            "kind": self.kind,
            "path": str(self.path),
            "size": self.size,
            "modified": self.modified,
            "suites": list(self.suites),
            "label": self.label,
        }


def artifacts(records: Path) -> list[Artifact]:
    """Everything in the store, largest first, named by the records under `records`."""
    names: dict[str, tuple[set[str], str]] = {}
    for record in load_records(records) if records.is_dir() else []:
        suites, _ = names.setdefault(record.keys.fit, (set(), record.label))
        suites.add(record.suite)
    found = []
    for kind, path in _entries():
        suites, label = names.get(path.name.partition(".")[0], (set(), ""))
        size, modified = _measure(path)
        found.append(Artifact(kind, path, size, modified, tuple(sorted(suites)), label))
    return sorted(found, key=lambda item: (-item.size, str(item.path)))


def _entries() -> Iterator[tuple[str, Path]]:
    for kind in ("fits", "predictions", "pictures", "segments", "data", "ranks", "logs"):
        folder = cache_root() / kind
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            yield ("checkpoints" if path.suffix == ".checkpoints" else kind), path


def _measure(path: Path) -> tuple[int, float]:
    files = [path, *(path.rglob("*") if path.is_dir() else ())]
    stats = [file.stat() for file in files if not file.is_symlink()]
    return sum(stat.st_size for stat in stats), max(stat.st_mtime for stat in stats)


def choose(
    found: Iterable[Artifact],
    *,
    kind: str | None = None,
    unused: bool = False,
    older_than_days: float | None = None,
) -> list[Artifact]:
    """The artifacts that every given condition holds for."""
    before = time.time() - (older_than_days or 0) * DAY
    return [
        item
        for item in found
        if (kind is None or item.kind == kind)
        and (not unused or (item.kind in ("fits", "checkpoints") and not item.suites))
        and (older_than_days is None or item.modified < before)
    ]


def remove(chosen: Iterable[Artifact]) -> None:
    """Delete artifacts. Raises `StoreError`."""
    for item in chosen:
        try:
            if item.path.is_dir():
                shutil.rmtree(item.path)
            else:
                item.path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StoreError(f"cannot remove '{item.path}': {error.strerror}") from error


def print_artifacts(console: Console, found: Sequence[Artifact]) -> None:
    """Show the store as a table."""
    from rich.table import Table

    console.print(f"store: {cache_root()}", markup=False, highlight=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for column in ("kind", "size", "age", "suites", "what"):
        table.add_column(column, justify="right" if column in ("size", "age") else "left")
    now = time.time()
    for item in found:
        age = f"{(now - item.modified) / DAY:.0f} d"
        what = item.label or str(item.path.relative_to(cache_root()))[:40]
        table.add_row(item.kind, human_size(item.size), age, ", ".join(item.suites) or "—", what)
    console.print(table)
    total = human_size(sum(item.size for item in found))
    console.print(f"{len(found)} artifacts, {total}", highlight=False)


def human_size(size: float) -> str:
    """Bytes in words: 1.5 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
