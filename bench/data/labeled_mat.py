"""The layout of ``nyu_depth_v2_labeled.mat``: read and written, one image at a time.

A MATLAB 7.3 file is HDF5 behind a 512-byte user block. MATLAB stores columns first, so every shape
arrives reversed and every image transposed:

    images               (N, 3, W, H) uint8
    depths               (N, W, H) float32 metres, holes in-filled
    rawDepths            (N, W, H) float32 metres, 0 where the sensor saw nothing
    labels               (N, W, H) uint16 object classes, 0 = unlabelled
    instances            (N, W, H) uint8, counted from 1 within each class of an image
    scenes, sceneTypes   (1, N) references to UTF-16 character codes

Published subsets leave some of these out: `images` and one of the depths must be there.

Source: N. Silberman, D. Hoiem, P. Kohli, R. Fergus, "Indoor Segmentation and Support Inference from
RGBD Images", ECCV 2012, and the data set's page.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import DataError
from bench.types import DepthVariant

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

DEPTH_ARRAYS: Mapping[DepthVariant, str] = {"raw": "rawDepths", "filled": "depths"}
SPLIT_ARRAYS: Mapping[str, str] = {"train": "trainNdxs", "test": "testNdxs"}
MAX_METRES = 100.0
"""No indoor depth is larger; a value beyond it is in another unit."""

_USER_BLOCK = 512
_MATLAB_73_HEADER = (
    b"MATLAB 7.3 MAT-file, in the layout of nyu_depth_v2_labeled.mat".ljust(116)
    + bytes(8)
    + b"\x00\x02IM"
)
_MATLAB_5_HEADER = b"MATLAB 5.0 MAT-file, split in the layout of NYU Depth v2".ljust(116)


@dataclass(frozen=True, slots=True)
class LabeledSample:
    """One image to write.

    Attributes:
        image: (3, H, W) uint8 RGB.
        depth: (H, W) float32 metres without holes.
        raw_depth: (H, W) float32 metres, 0 where missing.
        labels: (H, W) uint16 object classes, 0 = unlabelled.
        instances: (H, W) uint8, counted from 1 within each class, 0 = none.
        scene: The place (`kitchen_0004`).
        scene_type: The kind of place (`kitchen`).
    """

    image: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]
    raw_depth: npt.NDArray[np.float32]
    labels: npt.NDArray[np.uint16]
    instances: npt.NDArray[np.uint8]
    scene: str
    scene_type: str


@dataclass(frozen=True)
class _Open:
    """An open file and the process that opened it."""

    file: Any
    pid: int = field(default_factory=os.getpid)


class LabeledMat:
    """Reads a labelled ``.mat`` file; opened on first use, closed by `close`, safe to pickle.

    Every method raises `DataError` where the file is missing, damaged or of another layout.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: _Open | None = None
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]

    @property
    def count(self) -> int:
        """How many images it holds (N)."""
        return self._shape[0]

    @property
    def height(self) -> int:
        """Rows of each image (H)."""
        return self._shape[2]

    @property
    def width(self) -> int:
        """Columns of each image (W)."""
        return self._shape[1]

    @cached_property
    def variants(self) -> tuple[DepthVariant, ...]:
        """The depth variants it holds."""
        return tuple(variant for variant, name in DEPTH_ARRAYS.items() if name in self._file)

    @cached_property
    def has_instances(self) -> bool:
        """Whether it holds object instances."""
        return "labels" in self._file and "instances" in self._file

    def image(self, index: int) -> npt.NDArray[np.uint8]:
        """Return image `index`, (3, H, W) uint8 RGB."""
        import numpy as np

        pixels = self._read("images", index)
        return np.ascontiguousarray(pixels.transpose(0, 2, 1))

    def depth(self, index: int, variant: DepthVariant) -> npt.NDArray[np.float32]:
        """Return the depth of image `index`, (H, W) float32 metres; 0 where missing.

        What is no depth (NaN, infinite, negative) is missing too.

        Raises:
            DataError: The file does not hold the variant, or its values are not metres.
        """
        import numpy as np

        name = DEPTH_ARRAYS[variant]
        if variant not in self.variants:
            held = self.variants[0]
            raise DataError(
                f"'{self.path}' holds no {variant} depth (no {name}); set dataset.depth: {held}"
            )
        depth = np.ascontiguousarray(self._read(name, index).T, dtype=np.float32)
        depth[~(np.isfinite(depth) & (depth > 0))] = 0
        largest = float(depth.max())
        if largest > MAX_METRES:
            raise DataError(
                f"'{self.path}': {name} of image {index + 1} reaches {largest:g}, which cannot be "
                "metres (millimetres?); store depth in metres"
            )
        return depth

    def instances(self, index: int) -> npt.NDArray[np.int32] | None:
        """Return the object instances of image `index`, (H, W) int32; None where it has none.

        An object is a pair (class, number within the class). Objects are numbered from 1 in the
        order of that pair; 0 where either is 0.
        """
        import numpy as np

        if not self.has_instances:
            return None
        labels = self._read("labels", index).T.astype(np.int32)
        numbers = self._read("instances", index).T.astype(np.int32)
        pairs = np.where((labels > 0) & (numbers > 0), labels * 256 + numbers, 0)
        present = np.zeros(int(pairs.max()) + 1, dtype=np.int32)
        present[pairs] = 1
        present[0] = 0
        ids: npt.NDArray[np.int32] = np.cumsum(present, dtype=np.int32)
        ids[0] = 0
        return np.ascontiguousarray(ids[pairs])

    def scene(self, index: int) -> str | None:
        """Return the place image `index` was taken in; None where the file does not say."""
        return self._text("scenes", index)

    def scene_type(self, index: int) -> str | None:
        """Return the kind of place image `index` shows; None where the file does not say."""
        return self._text("sceneTypes", index)

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        with self._lock:
            opened, self._opened = self._opened, None
            if opened is not None and opened.pid == os.getpid():
                opened.file.close()

    @cached_property
    def _shape(self) -> tuple[int, int, int]:
        count, _, width, height = self._file["images"].shape
        return int(count), int(width), int(height)

    @property
    def _file(self) -> Any:
        """The open `h5py.File`, its layout checked."""
        with self._lock:
            # A handle inherited through fork shares its file position with the parent.
            if self._opened is None or self._opened.pid != os.getpid():
                self._opened = _Open(_open_checked(self.path))
            return self._opened.file

    def _read(self, name: str, index: int) -> npt.NDArray[Any]:
        array = self._file[name]
        with _damage(self.path, f"{name} of image {index + 1}"):
            values: npt.NDArray[Any] = array[index]
        return values

    def _text(self, name: str, index: int) -> str | None:
        file = self._file
        if name not in file:
            return None
        with _damage(self.path, f"{name} of image {index + 1}"):
            characters = file[file[name][0, index]]
            # MATLAB stores '' as its size, with this mark.
            if "MATLAB_empty" in characters.attrs:
                return None
            text = characters[()].astype("<u2").tobytes().decode("utf-16-le")
        return text or None


def write_labeled_mat(
    path: Path, count: int, height: int, width: int, samples: Iterable[LabeledSample]
) -> None:
    """Write a file that `LabeledMat` and MATLAB read; the same samples give the same bytes.

    Args:
        path: The file to make; replaced if it is there, removed again if writing fails.
        count: How many samples follow (N).
        height: Rows of each image (H).
        width: Columns of each image (W).
        samples: Exactly `count` samples, taken one at a time.

    Raises:
        ValueError: There are fewer or more than `count` samples, or one has another size.
    """
    import h5py

    try:
        with h5py.File(path, "w", userblock_size=_USER_BLOCK) as file:
            _fill(file, count, height, width, samples)
        with path.open("r+b") as stream:
            stream.write(_MATLAB_73_HEADER)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def write_splits(path: Path, train: Sequence[int], test: Sequence[int]) -> None:
    """Write a splits file (MATLAB 5) from 0-based image numbers; the file counts from 1."""
    import numpy as np
    from scipy.io import savemat

    largest = max([*train, *test], default=0) + 1
    dtype = np.uint16 if largest <= np.iinfo(np.uint16).max else np.uint32
    numbers = {"train": train, "test": test}
    columns = {
        name: (np.asarray(numbers[split], dtype=np.int64).reshape(-1, 1) + 1).astype(dtype)
        for split, name in SPLIT_ARRAYS.items()
    }
    buffer = io.BytesIO()
    savemat(buffer, columns)  # type: ignore[arg-type]  # its stubs only know paths
    # scipy puts the date into the header text; a fixed one keeps the bytes the same.
    path.write_bytes(_MATLAB_5_HEADER + buffer.getvalue()[len(_MATLAB_5_HEADER) :])


def read_splits(path: Path, count: int) -> dict[str, tuple[int, ...]]:
    """Read a splits file.

    Args:
        path: A MATLAB 5 file with `trainNdxs` and `testNdxs`, counting from 1.
        count: How many images the data has.

    Returns:
        0-based image numbers of ``train`` and ``test``, in the file's order.

    Raises:
        DataError: The file is missing or unreadable, lacks a split, or a number is not whole, out
            of range, or given twice.
    """
    from scipy.io import loadmat

    try:
        content = loadmat(path)
    except OSError as error:
        raise DataError(
            f"cannot read splits '{path}': {error.strerror or error}; set dataset.splits"
        ) from error
    except NotImplementedError as error:
        raise DataError(
            f"splits '{path}' is a MATLAB 7.3 file; save it with -v7, or set dataset.splits"
        ) from error
    except Exception as error:  # scipy raises all kinds of errors on a damaged file
        raise DataError(
            f"splits '{path}' is not a MATLAB 5 file, or is damaged ({_first_line(error)}); "
            "set dataset.splits"
        ) from error
    splits = {
        split: _split_numbers(path, name, content.get(name), count)
        for split, name in SPLIT_ARRAYS.items()
    }
    both = set(splits["train"]) & set(splits["test"])
    if both:
        raise DataError(
            f"splits '{path}': image {min(both) + 1} is in both trainNdxs and testNdxs; "
            "give each image to one split"
        )
    return splits


def _split_numbers(path: Path, name: str, column: Any, count: int) -> tuple[int, ...]:
    import numpy as np

    where = f"splits '{path}': {name}"
    if column is None:
        raise DataError(f"{where} is missing; a splits file holds trainNdxs and testNdxs")
    values = np.asarray(column).ravel()
    if values.size == 0:
        raise DataError(f"{where} is empty; every split needs an image")
    if values.dtype.kind not in "uif":
        raise DataError(f"{where} holds no numbers (its type is {values.dtype})")
    wrong = values[(values != np.floor(values)) | ~((values >= 1) & (values <= count))]
    if wrong.size:
        raise DataError(
            f"{where} holds {wrong[0]:g}, but the data has {count} images (1 to {count}); "
            "use the splits file that belongs to it"
        )
    unique, occurrences = np.unique(values, return_counts=True)
    if unique.size != values.size:
        raise DataError(f"{where} holds {unique[occurrences > 1][0]:g} more than once")
    return tuple(int(value) - 1 for value in values)


def _open_checked(path: Path) -> Any:
    import h5py

    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise DataError(
            f"cannot read '{path}': {error.strerror or error}; set dataset.path to a labelled .mat"
        ) from error
    if not h5py.is_hdf5(path):
        raise DataError(
            f"'{path}' ({path.stat().st_size} bytes) is not a MATLAB 7.3 (HDF5) file; "
            "fetch it again, or set dataset.path"
        )
    with _damage(path, "its header"):
        # Locks fail on some network and read-only file systems, and nobody writes to the file.
        file = h5py.File(path, "r", locking=False)
    try:
        with _damage(path, "its layout"):
            _check_layout(path, file)
    except BaseException:
        file.close()
        raise
    return file


def _check_layout(path: Path, file: Any) -> None:
    images = _array(path, file, "images", "uint8", "(N, 3, W, H)")
    if images is None:
        raise DataError(f"'{path}' holds no images; its layout is not nyu_depth_v2_labeled.mat's")
    shape = images.shape
    if len(shape) != 4 or shape[1] != 3 or 0 in shape:
        raise DataError(f"'{path}': images has the shape {shape}; expected (N, 3, W, H), N ≥ 1")
    count, _, width, height = shape
    frame = (count, width, height)
    depths = [
        _array(path, file, name, "floating", "(N, W, H) in metres", frame)
        for name in DEPTH_ARRAYS.values()
    ]
    if all(depth is None for depth in depths):
        raise DataError(f"'{path}' holds no depth; expected depths, rawDepths or both")
    _array(path, file, "labels", "uint16", "(N, W, H)", frame)
    _array(path, file, "instances", "uint8", "(N, W, H)", frame)
    for name in ("scenes", "sceneTypes"):
        _array(path, file, name, "object", "(1, N)", (1, count))


def _array(
    path: Path,
    file: Any,
    name: str,
    kind: str,
    legend: str,
    shape: tuple[int, ...] | None = None,
) -> Any:
    """Return an array of the file, its type and shape checked; None where it is not there."""
    import h5py

    if name not in file:
        return None
    array = file[name]
    if not isinstance(array, h5py.Dataset):
        raise DataError(f"'{path}': {name} is a group; expected an array {legend}")
    matches = array.dtype.kind == "f" if kind == "floating" else array.dtype == kind
    if not matches:
        raise DataError(f"'{path}': {name} is of type {array.dtype}; expected {kind} {legend}")
    if shape is not None and array.shape != shape:
        raise DataError(
            f"'{path}': {name} has the shape {array.shape}; to go with images it must be {shape}, "
            f"{legend}"
        )
    return array


@contextlib.contextmanager
def _damage(path: Path, place: str) -> Iterator[None]:
    """Turn what h5py raises on a damaged file into one line."""
    try:
        yield
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise DataError(
            f"cannot read '{path}', {place} ({_first_line(error)}); the file is damaged or "
            "incomplete: fetch it again"
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _fill(file: Any, count: int, height: int, width: int, samples: Iterable[LabeledSample]) -> None:
    frame = (width, height)
    arrays = {
        "images": _create(file, "images", (count, 3, *frame), "u1", b"uint8"),
        "depths": _create(file, "depths", (count, *frame), "f4", b"single"),
        "rawDepths": _create(file, "rawDepths", (count, *frame), "f4", b"single"),
        "labels": _create(file, "labels", (count, *frame), "u2", b"uint16"),
        "instances": _create(file, "instances", (count, *frame), "u1", b"uint8"),
    }
    scenes: list[Any] = []
    scene_types: list[Any] = []
    references = file.create_group("#refs#")
    for index, sample in enumerate(samples):
        if index == count or sample.image.shape != (3, height, width):
            raise ValueError(
                f"sample {index + 1} of {count}, {sample.image.shape}, does not fit a file of "
                f"{count} images of (3, {height}, {width})"
            )
        arrays["images"][index] = sample.image.transpose(0, 2, 1)
        arrays["depths"][index] = sample.depth.T
        arrays["rawDepths"][index] = sample.raw_depth.T
        arrays["labels"][index] = sample.labels.T
        arrays["instances"][index] = sample.instances.T
        scenes.append(_write_text(references, f"scene{index:06d}", sample.scene))
        scene_types.append(_write_text(references, f"type{index:06d}", sample.scene_type))
    if len(scenes) != count:
        raise ValueError(f"{len(scenes)} samples for a file of {count} images")
    _write_references(file, "scenes", scenes)
    _write_references(file, "sceneTypes", scene_types)


def _create(file: Any, name: str, shape: tuple[int, ...], dtype: str, matlab_class: bytes) -> Any:
    import numpy as np

    array = file.create_dataset(
        name, shape, dtype, chunks=(1, *shape[1:]), compression="gzip", compression_opts=4
    )
    array.attrs["MATLAB_class"] = np.bytes_(matlab_class)
    return array


def _write_text(group: Any, name: str, text: str) -> Any:
    import numpy as np

    codes = np.frombuffer(text.encode("utf-16-le"), dtype="<u2").reshape(-1, 1)
    characters = group.create_dataset(name, data=codes)
    characters.attrs["MATLAB_class"] = np.bytes_(b"char")
    characters.attrs["MATLAB_int_decode"] = np.int32(2)
    return characters.ref


def _write_references(file: Any, name: str, references: Sequence[Any]) -> None:
    import h5py
    import numpy as np

    cell = file.create_dataset(name, (1, len(references)), dtype=h5py.ref_dtype)
    for index, reference in enumerate(references):
        cell[0, index] = reference
    cell.attrs["MATLAB_class"] = np.bytes_(b"cell")
