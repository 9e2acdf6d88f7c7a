"""Files of predictions: what is there, whether it is one map an image, and its values."""

from __future__ import annotations

import hashlib
import json
import zipfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bench.data.hashes import file_sha256
from bench.errors import DataError

if TYPE_CHECKING:
    from . import PredictionsParams

SUFFIXES = {".npy": "npy", ".png": "png", ".npz": "npz", ".h5": "h5", ".hdf5": "h5"}
ARCHIVES = ("npz", "h5")
SHOWN = 3

Shape = tuple[int, ...]


class _Source(ABC):
    """Named arrays."""

    @abstractmethod
    def held(self) -> frozenset[str]:
        """The names there are."""

    @abstractmethod
    def shape(self, name: str) -> Shape:
        """The shape of one, without reading it. Raises `OSError`, `ValueError`."""

    @abstractmethod
    def read(self, name: str) -> npt.NDArray[Any]:
        """One of them. Raises `OSError`, `ValueError`."""

    @abstractmethod
    def sha256(self, name: str) -> str:
        """A hash of the file it is in. Raises `DataError`."""

    def close(self) -> None:  # noqa: B027 - optional
        """Close files."""


class _Folder(_Source):
    """One file an image."""

    def __init__(self, root: Path, suffix: str) -> None:
        self._root = root
        self._suffix = suffix

    def held(self) -> frozenset[str]:
        files = self._root.rglob(f"*{self._suffix}")
        return frozenset(path.relative_to(self._root).as_posix() for path in files)

    def shape(self, name: str) -> Shape:
        if self._suffix == ".npy":
            return _numeric(np.load(self._root / name, mmap_mode="r", allow_pickle=False)).shape
        from PIL import Image

        with Image.open(self._root / name) as image:
            bands = len(image.getbands())
            return (image.height, image.width) + ((bands,) if bands > 1 else ())

    def read(self, name: str) -> npt.NDArray[Any]:
        if self._suffix == ".npy":
            return _numeric(np.load(self._root / name, allow_pickle=False))
        from PIL import Image

        with Image.open(self._root / name) as image:
            return np.asarray(image)

    def sha256(self, name: str) -> str:
        return file_sha256(self._root / name)


class _Npz(_Source):
    """Arrays by key in one ``.npz``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._zip = zipfile.ZipFile(path)
        self._held = frozenset(name.removesuffix(".npy") for name in self._zip.namelist())

    def held(self) -> frozenset[str]:
        return self._held

    def shape(self, name: str) -> Shape:
        with self._zip.open(f"{name}.npy") as stream:
            version = np.lib.format.read_magic(stream)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read(stream)
        _numeric(np.empty(0, dtype))
        return shape

    def read(self, name: str) -> npt.NDArray[Any]:
        with self._zip.open(f"{name}.npy") as stream:
            return _numeric(np.lib.format.read_array(stream, allow_pickle=False))

    def sha256(self, name: str) -> str:
        return file_sha256(self._path)

    def close(self) -> None:
        self._zip.close()


class _H5(_Source):
    """Data sets by path in one HDF5 file; a slash of an id is a group's, or a backslash."""

    def __init__(self, path: Path) -> None:
        import h5py

        self._path = path
        self._file = h5py.File(path, "r")
        self._names: dict[str, str] = {}

        def visit(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                self._names[name.replace("\\", "/")] = name

        self._file.visititems(visit)

    def held(self) -> frozenset[str]:
        return frozenset(self._names)

    def shape(self, name: str) -> Shape:
        dataset = self._file[self._names[name]]
        _numeric(np.empty(0, dataset.dtype))
        return tuple(dataset.shape)

    def read(self, name: str) -> npt.NDArray[Any]:
        return _numeric(np.asarray(self._file[self._names[name]]))

    def sha256(self, name: str) -> str:
        return file_sha256(self._path)

    def close(self) -> None:
        self._file.close()


def _numeric(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.dtype.kind not in "fiu":
        raise ValueError(f"holds {values.dtype}, not numbers")
    return values


class Predictions:
    """The predictions a suite names, by image id."""

    def __init__(self, params: PredictionsParams) -> None:
        """Find the files.

        Args:
            params: Of the method.

        Raises:
            DataError: There is no such file or folder, it cannot be opened, its format is not
                clear, or PNG files come without a scale.
        """
        self._params = params
        self._kind, suffix = _format(params)
        self._suffix = "" if self._kind in ARCHIVES else suffix
        if self._kind == "png" and params.scale is None:
            raise DataError(
                f"{self}: say what a PNG's unit is, in metres (scale: 0.001 for millimetres; "
                "scale: 1 where it means nothing)"
            )
        self._source = self._open()

    def __str__(self) -> str:
        return f"predictions '{self._params.path}'"

    def __enter__(self) -> Predictions:
        return self

    def __exit__(self, *_: object) -> None:
        self._source.close()

    def _open(self) -> _Source:
        path = self._params.path
        if self._kind not in ARCHIVES:
            return _Folder(path, self._suffix)
        try:
            return _Npz(path) if self._kind == "npz" else _H5(path)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise DataError(f"{self}: cannot be read as {self._kind}: {_line(error)}") from error

    @cached_property
    def _places(self) -> Mapping[str, int]:
        """Where each image stands in the order that the parameters name."""
        order = self._params.order
        listed = () if order is None else _listed(order)
        return {image_id: place for place, image_id in enumerate(listed)}

    def _name(self, image_id: str) -> str | None:
        """The name of a file (or the key) that would hold an image; None if the order lacks it."""
        place = self._places.get(image_id)
        if place is None and self._params.order is not None:
            return None
        index = place or 0
        name = self._params.names.format(id=image_id, index=index, number=index + 1)
        return name if name.endswith(self._suffix) else name + self._suffix

    def checked(self, ids: Sequence[str], split: Sequence[str]) -> str:
        """Make sure that there is one map for each test image and none besides, and hash them.

        Args:
            ids: The test images.
            split: Those of the whole split: the rest may be there or not.

        Returns:
            SHA-256 (hex) over content and use of the files.

        Raises:
            DataError: Some are missing, some are no map or not of the others' size, or there are
                files of no image of the split; all are told in one line.
        """
        held, names = self._source.held(), {name: self._name(name) for name in ids}
        missing = [name or image_id for image_id, name in names.items() if name not in held]
        extra = sorted(held - {self._name(image_id) for image_id in split})
        shapes = {name: self._shape(name) for name in names.values() if name in held and name}
        usual = Counter(shape for shape in shapes.values() if isinstance(shape, tuple))
        norm = usual.most_common(1)[0][0] if usual else ()
        odd = [f"{name}: {_shown(shape)}" for name, shape in shapes.items() if shape != norm]
        problems = [
            _problem(missing, f"of {len(ids)} are missing"),
            _problem(extra, "belong to no image of the split"),
            _problem(odd, f"are not maps like the others ({_shown(norm)})" if norm else "no map"),
        ]
        told = "; ".join(problem for problem in problems if problem)
        if told:
            raise DataError(f"{self}: {told}; check path, names, order and the data set")
        used = [
            [image_id, name, self._source.sha256(str(name))] for image_id, name in names.items()
        ]
        return hashlib.sha256(json.dumps(used).encode()).hexdigest()

    def _shape(self, name: str) -> Shape | str:
        """(h, w), or what is wrong with it."""
        try:
            shape = _map_shape(self._source.shape(name))
        except (OSError, ValueError, EOFError, SyntaxError, zipfile.BadZipFile) as error:
            return _line(error)
        return shape

    def read(self, image_id: str) -> npt.NDArray[np.float32]:
        """The prediction of one image: (h, w) float32, in the unit its output says.

        Raises:
            DataError: The file cannot be read.
        """
        name = self._name(image_id)
        try:
            values = self._source.read(str(name))
            values = values.reshape(_map_shape(values.shape)).astype(np.float64)
        except (OSError, ValueError, KeyError, EOFError, SyntaxError, zipfile.BadZipFile) as error:
            raise DataError(f"{self}: '{name}' cannot be read: {_line(error)}") from error
        values *= self._params.scale or 1.0
        if self._params.content == "disparity" and self._params.output != "affine-disparity":
            with np.errstate(divide="ignore"):
                values = 1 / values
        with np.errstate(over="ignore"):
            return values.astype(np.float32)


def _format(params: PredictionsParams) -> tuple[str, str]:
    """The format and the files' suffix."""
    path, wanted = params.path, params.format
    if not path.exists():
        raise DataError(f"predictions '{path}': there is no such file or folder; set path")
    if path.is_file():
        kind = SUFFIXES.get(path.suffix.lower(), "") if wanted == "auto" else wanted
        if kind not in ARCHIVES:
            raise DataError(
                f"predictions '{path}': a single file must be .npz or .h5; name a folder of .npy "
                "or .png files, or set format"
            )
        return kind, path.suffix
    found = {item.suffix for item in path.rglob("*") if item.suffix in (".npy", ".png")}
    if wanted in ARCHIVES:
        raise DataError(f"predictions '{path}': is a folder, not one .{wanted} file")
    if wanted != "auto":
        return wanted, f".{wanted}"
    if len(found) != 1:
        held = "both .npy and .png" if found else "neither .npy nor .png"
        raise DataError(f"predictions '{path}': holds {held} files; set format or path")
    suffix = found.pop()
    return SUFFIXES[suffix], suffix


def _listed(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"order '{path}' cannot be read: {_line(error)}") from error
    ids = [line.strip() for line in lines if line.strip()]
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        raise DataError(f"order '{path}': '{twice[0]}' is there twice; keep one")
    return ids


def _map_shape(shape: Shape) -> Shape:
    """(h, w) of a map with axes of length 1 around it. Raises `ValueError`."""
    inner = shape
    while len(inner) > 2 and inner[0] == 1:
        inner = inner[1:]
    if len(inner) == 3 and inner[2] == 1:
        inner = inner[:2]
    if len(inner) != 2 or 0 in inner:
        raise ValueError(f"{_shown(shape)}, no map")
    return inner


def _shown(shape: Shape | str) -> str:
    return shape if isinstance(shape, str) else "×".join(map(str, shape)) or "a single number"


def _problem(names: Sequence[str], words: str) -> str:
    if not names:
        return ""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)} {words} ({', '.join(names[:SHOWN])}{more})"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
