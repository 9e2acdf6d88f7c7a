from __future__ import annotations

import numpy as np
import pytest

from bench import pictures


def test_pictured_images_are_spread_over_the_split() -> None:
    ids = [f"{index}" for index in range(12)]
    assert pictures.chosen(ids) == ("1", "4", "7", "10")


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_small_splits_are_pictured_without_repeats(count: int) -> None:
    ids = [str(index) for index in range(count)]
    picked = pictures.chosen(ids)
    assert len(picked) == len(set(picked)) == min(count, 4)


def test_pictures_come_back_raw_and_later_ones_join() -> None:
    first = np.array([[1.5, np.nan]], dtype=np.float32)
    pictures.keep("k", {"a/b": first})
    pictures.keep("k", {"c": first + 1})
    held = pictures.recall("k")
    assert list(held) == ["a/b", "c"]
    np.testing.assert_array_equal(held["a/b"], first)


def test_a_damaged_file_is_no_pictures() -> None:
    pictures.keep("k", {"a": np.zeros((1, 1), np.float32)})
    pictures.file_of("k").write_bytes(b"PK not really")
    assert pictures.recall("k") == {}
    assert pictures.recall("never") == {}
