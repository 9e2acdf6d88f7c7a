"""SHA-256 of files, remembered by (path, size, mtime): a plan never reads gigabytes twice."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from bench.errors import DataError
from bench.store import cache_root, write_atomically


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        resolved = path.resolve(strict=True)
        stat = resolved.stat()
        known = [str(resolved), stat.st_size, stat.st_mtime_ns]
        memo = cache_root() / "hashes" / f"{_digest(str(resolved))}.json"
        remembered = _recall(memo)
        if remembered.get("file") == known:
            return str(remembered["sha256"])
        with resolved.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror or error}") from error
    write_atomically(memo, json.dumps({"file": known, "sha256": sha256}).encode())
    return sha256


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _recall(memo: Path) -> dict[str, object]:
    try:
        value = json.loads(memo.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
