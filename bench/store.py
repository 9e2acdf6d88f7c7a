"""The artifact store: content-addressed folders and files that are whole or absent.

Everything is written aside, flushed to disk and published by one exclusive rename or link. The
loser of a race discards its copy: two artifacts of one key are equal by construction.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.errors import StoreError


def cache_root() -> Path:
    """The store's folder: ``$BENCH_CACHE``, else the user's cache folder for bench."""
    configured = os.environ.get("BENCH_CACHE")
    if configured:
        return Path(configured).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("bench"))


def data_root() -> Path:
    """The data folder: ``$BENCH_DATA``, else ``data`` under the current folder."""
    return Path(os.environ.get("BENCH_DATA") or "data").expanduser()


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file in one step. For files that may be overwritten (memos, generated pages).

    Raises:
        StoreError: The folder cannot be written.
    """
    with _aside(path) as temporary:
        temporary.write_bytes(content)
        _sync(temporary)
        temporary.replace(path)


def publish_file(path: Path, content: bytes) -> None:
    """Create a file that never changes afterwards; keep the one that is there.

    Raises:
        StoreError: The folder cannot be written.
    """
    with _aside(path) as temporary:
        temporary.write_bytes(content)
        _sync(temporary)
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
        _sync(path.parent)


@contextlib.contextmanager
def publish_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; publish it as `path` if the block ends without an error.

    Raises:
        StoreError: The store cannot be written.
    """
    with _store_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        yield aside
        with _store_errors(path):
            for file in sorted(aside.rglob("*")):
                if file.is_file():
                    _sync(file)
            # rename() refuses to replace a folder that is not empty: the loser of a race keeps
            # its copy aside and drops it below.
            with contextlib.suppress(FileExistsError, NotADirectoryError):
                try:
                    aside.rename(path)
                except OSError:
                    if not path.exists():
                        raise
            _sync(path.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def _aside(path: Path) -> Iterator[Path]:
    with _store_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
        os.close(descriptor)
        temporary = Path(name)
        temporary.chmod(0o644)
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _store_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot write '{path}': {error.strerror or error}; free space, or point "
            "--records or $BENCH_CACHE to a folder that can be written"
        ) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
