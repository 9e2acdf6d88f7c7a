"""Raw predictions of a few test images, kept for the figures whether or not predictions are kept.

They lie in the store, one compressed file a cell, on the method's own grid: a few kilobytes.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.store import cache_root, write_atomically

COUNT = 4

Pictures = Mapping[str, npt.NDArray[np.float32]]


def chosen(ids: Sequence[str], count: int = COUNT) -> tuple[str, ...]:
    """Which test images are pictured: `count` of them, evenly spaced over the split."""
    picks = (round((index + 0.5) * len(ids) / count - 0.5) for index in range(count))
    return tuple(dict.fromkeys(ids[pick] for pick in picks))


def file_of(cell_key: str) -> Path:
    """Where a cell's pictures are kept."""
    return cache_root() / "pictures" / f"{cell_key}.npz"


def keep(cell_key: str, pictures: Pictures) -> None:
    """Keep raw (h, w) predictions by image id; later ones of a cell join earlier ones."""
    if not pictures:
        return
    joined = {**recall(cell_key), **pictures}
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {f"picture_{i}": value for i, value in enumerate(joined.values())}
    np.savez_compressed(buffer, ids=np.array(list(joined), dtype=np.str_), **arrays)
    write_atomically(file_of(cell_key), buffer.getvalue())


def recall(cell_key: str) -> dict[str, npt.NDArray[np.float32]]:
    """The kept pictures of a cell by image id; none where there are none."""
    try:
        with np.load(file_of(cell_key), allow_pickle=False) as held:
            return {
                str(image_id): held[f"picture_{index}"]
                for index, image_id in enumerate(held["ids"])
            }
    # A file that cannot be read costs a picture, not the run.
    except (OSError, ValueError, KeyError):
        return {}
