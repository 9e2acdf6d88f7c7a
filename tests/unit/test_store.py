from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench import store
from bench.errors import StoreError


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*.tmp")]


def test_a_published_file_is_kept_when_a_second_comes(tmp_path: Path) -> None:
    store.publish_file(tmp_path / "a.json", b"first")
    store.publish_file(tmp_path / "a.json", b"second")
    assert (tmp_path / "a.json").read_bytes() == b"first"
    assert leftovers(tmp_path) == []


def test_a_folder_is_whole_or_absent(tmp_path: Path) -> None:
    def stop_halfway() -> None:
        with store.publish_folder(tmp_path / "fit") as aside:
            (aside / "half").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        stop_halfway()
    assert list(tmp_path.iterdir()) == []
    with store.publish_folder(tmp_path / "fit") as aside:
        (aside / "whole").write_text("x")
    assert (tmp_path / "fit" / "whole").read_text() == "x"
    assert leftovers(tmp_path) == []


def test_the_loser_of_a_race_for_a_folder_discards_its_copy(tmp_path: Path) -> None:
    with store.publish_folder(tmp_path / "fit") as slow:
        (slow / "who").write_text("slow")
        with store.publish_folder(tmp_path / "fit") as fast:
            (fast / "who").write_text("fast")
    assert (tmp_path / "fit" / "who").read_text() == "fast"
    assert leftovers(tmp_path) == []


def test_write_atomically_replaces(tmp_path: Path) -> None:
    store.write_atomically(tmp_path / "page.md", b"old")
    store.write_atomically(tmp_path / "page.md", b"new")
    assert (tmp_path / "page.md").read_bytes() == b"new"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("write", [store.publish_file, store.write_atomically])
def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path: Path, write: object) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("not a folder")
    with pytest.raises(StoreError, match=r"cannot write '.*a\.json'.*--records or \$BENCH_CACHE"):
        write(blocker / "a.json", b"")  # type: ignore[operator]


def test_published_files_can_be_read_by_others(tmp_path: Path) -> None:
    store.publish_file(tmp_path / "a.json", b"{}")
    assert os.stat(tmp_path / "a.json").st_mode & 0o777 == 0o644  # noqa: PTH116
