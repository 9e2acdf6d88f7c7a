"""Raw predictions kept on disk: one HDF5 file for each pass (one window, plain or mirrored).

Kept as the method returned them, on their own grid, float32, unclamped, NaN included, so that any
later protocol can be applied to them (``predictions: keep``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import StoreError
from bench.store import cache_root, publish_folder

if TYPE_CHECKING:
    import numpy.typing as npt

FILE = "predictions.h5"


def folder_of(key: str) -> Path:
    """Where the pass of a predict key is kept."""
    return cache_root() / "predictions" / key


def is_kept(key: str) -> bool:
    """Whether the pass of a predict key is there, finished."""
    return (folder_of(key) / FILE).is_file()


class KeptPass:
    """A finished pass, read by image id."""

    def __init__(self, folder: Path) -> None:
        import h5py

        try:
            self._file = h5py.File(folder / FILE, "r")
        except OSError as error:
            raise StoreError(
                f"kept predictions '{folder}' cannot be read ({error}); "
                "remove the folder to predict again"
            ) from error

    def read(self, ids: Sequence[str]) -> list[npt.NDArray[np.float32]]:
        """The raw (h, w) predictions of some images."""
        return [np.asarray(self._file[_name(image_id)]) for image_id in ids]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class PassWriter:
    """A pass being made; published whole when all its images have been appended."""

    def __init__(self, folder: Path) -> None:
        import h5py

        self._file = h5py.File(folder / FILE, "w")

    def append(self, ids: Sequence[str], raw: npt.NDArray[np.float32]) -> None:
        """Add B images: (B, 1, h, w) float32."""
        for image_id, values in zip(ids, raw[:, 0], strict=True):
            dataset = self._file.create_dataset(_name(image_id), data=values)
            dataset.attrs["id"] = image_id

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Passes:
    """The passes of one cell: those already kept are read, the others are written if asked."""

    def __init__(self, stack: ExitStack, *, keep: bool) -> None:
        self._stack = stack
        self._keep = keep
        self._kept: dict[str, KeptPass] = {}
        self._writers: dict[str, PassWriter] = {}

    def kept(self, key: str) -> KeptPass | None:
        """The finished pass of a key, or None."""
        if key not in self._kept and is_kept(key):
            self._kept[key] = self._stack.enter_context(_closing(KeptPass(folder_of(key))))
        return self._kept.get(key)

    def append(self, key: str, ids: Sequence[str], raw: Any) -> None:
        """Keep B raw predictions, (B, 1, h, w) tensor, where the suite keeps predictions."""
        if not self._keep:
            return
        if key not in self._writers:
            folder = self._stack.enter_context(publish_folder(folder_of(key)))
            self._writers[key] = self._stack.enter_context(_closing(PassWriter(folder)))
        self._writers[key].append(ids, raw.float().cpu().numpy())


@contextmanager
def _closing(resource: Any) -> Iterator[Any]:
    try:
        yield resource
    finally:
        resource.close()


def _name(image_id: str) -> str:
    # HDF5 reads "/" as a group separator; ids of extracted layouts are relative paths.
    return image_id.replace("/", "\\")
