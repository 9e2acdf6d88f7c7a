"""NYU Depth v2: 1,449 labelled Kinect frames of indoor scenes, or frames extracted to a folder.

Source: N. Silberman, D. Hoiem, P. Kohli, R. Fergus, "Indoor Segmentation and Support Inference from
RGBD Images", ECCV 2012. The official split has 795 training and 654 test images.
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import Field

from bench.data.base import Dataset, DatasetParams
from bench.data.depth_png import PngFolder, SplitName
from bench.data.hashes import file_sha256
from bench.data.labeled_mat import LabeledMat, read_splits
from bench.errors import DataError
from bench.paths import DataPath
from bench.types import DepthVariant, Sample

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

OFFICIAL_IMAGES = 1449
_OFFICIAL_SPLITS = Path(__file__).with_name("nyu_splits.json")

FX, FY, CX, CY = 518.86, 519.47, 325.58, 253.74
"""The colour camera at 480×640, in pixels (the data set's toolbox)."""
CAMERA_HEIGHT, CAMERA_WIDTH = 480, 640


def nyu_intrinsics(height: int, width: int, focal: float | None = None) -> npt.NDArray[np.float64]:
    """The camera matrix of NYU Depth v2, scaled to a frame of another size.

    Args:
        height: Rows of the frame.
        width: Columns of the frame.
        focal: The horizontal focal length in pixels of this frame, where it is known better.

    Returns:
        (3, 3) float64, in pixels.
    """
    import numpy as np

    across, down = width / CAMERA_WIDTH, height / CAMERA_HEIGHT
    stretch = 1.0 if focal is None else focal / (FX * across)
    return np.array(
        [
            [FX * across * stretch, 0.0, CX * across],
            [0.0, FY * down * stretch, CY * down],
            [0.0, 0.0, 1.0],
        ]
    )


def official_splits() -> dict[str, tuple[int, ...]]:
    """The official split of the 1,449 labelled images, 0-based: 795 ``train``, 654 ``test``."""
    published = json.loads(_OFFICIAL_SPLITS.read_bytes())
    return {split: tuple(number - 1 for number in published[split]) for split in ("train", "test")}


class NyuParams(DatasetParams):
    """Parameters of `nyu-v2`."""

    train: SplitName = "train"
    test: SplitName = "test"
    path: DataPath = Field(
        description="nyu_depth_v2_labeled.mat, or a folder of extracted images "
        "(SCENE/rgb_*.jpg with SCENE/sync_depth_*.png)."
    )
    splits: DataPath | None = Field(
        default=None,
        description="A splits .mat (trainNdxs, testNdxs, from 1) for a labelled file; default: the "
        "official split.",
    )


class NyuV2(Dataset):
    """NYU Depth v2 from the labelled ``.mat`` or from a folder of extracted images.

    Image ids are the image's number in the labelled file ("0001" to "1449"), or the colour image's
    path in the folder without its suffix ("kitchen_0028b/rgb_00045").

    In a folder, `train` and `test` name list files (``.txt``, in the folder or beside the suite) or
    subfolders. A folder holds the depth as the sensor measured it: the raw variant.
    """

    name: ClassVar[str] = "nyu-v2"
    summary: ClassVar[str] = "NYU Depth v2: the labelled .mat or an extracted-PNG folder"
    Params: ClassVar[type[DatasetParams]] = NyuParams
    params: NyuParams

    def __str__(self) -> str:
        return f"data set '{self.name}' ('{self.params.path}')"

    def variants(self) -> tuple[DepthVariant, ...]:
        """The depth variants the file holds; a folder holds the raw one."""
        return self._layout.variants()

    def has_instances(self) -> bool:
        """Whether the file holds instance masks; a folder holds none."""
        return self._layout.has_instances()

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Image ids of the two splits."""
        return self._layout.splits()

    def fingerprint(self) -> str:
        """SHA-256 over the file's (or the listed files') content and the splits."""
        return self._layout.fingerprint()

    def read(self, image_id: str, variant: DepthVariant) -> Sample:
        """Read one image with its depth."""
        return self._layout.read(image_id, variant)

    def close(self) -> None:
        """Close the file; the next `read` opens it again."""
        self._layout.close()

    @cached_property
    def _layout(self) -> _Layout:
        path, splits = self.params.path, self.params.splits
        if not path.exists():
            raise DataError(
                f"no file or folder '{path}'; set dataset.path to nyu_depth_v2_labeled.mat or "
                "a folder of extracted images"
            )
        if not path.is_dir():
            return _Labeled(path, splits)
        if splits is not None:
            raise DataError(
                f"dataset.splits ('{splits}') goes with a labelled .mat, but '{path}' is a folder; "
                "set dataset.train and dataset.test to list files or subfolders"
            )
        return _Extracted(path, self.params.train, self.params.test)


class _Layout(Protocol):
    """What both layouts answer; see `Dataset`."""

    def variants(self) -> tuple[DepthVariant, ...]: ...
    def has_instances(self) -> bool: ...
    def splits(self) -> dict[str, tuple[str, ...]]: ...
    def fingerprint(self) -> str: ...
    def read(self, image_id: str, variant: DepthVariant) -> Sample: ...
    def close(self) -> None: ...


class _Labeled:
    """The labelled ``.mat``."""

    def __init__(self, path: Path, splits: Path | None) -> None:
        self._path = path
        self._splits_path = splits
        self._mat = LabeledMat(path)

    def variants(self) -> tuple[DepthVariant, ...]:
        return self._mat.variants

    def has_instances(self) -> bool:
        return self._mat.has_instances

    def splits(self) -> dict[str, tuple[str, ...]]:
        return {
            split: tuple(_number_id(index) for index in indices)
            for split, indices in self._indices.items()
        }

    def fingerprint(self) -> str:
        return _digest({"file": file_sha256(self._path), "splits": self._indices})

    def read(self, image_id: str, variant: DepthVariant) -> Sample:
        mat, index = self._mat, self._index(image_id)
        depth = mat.depth(index, variant)
        return Sample(
            id=image_id,
            image=mat.image(index),
            depth=depth,
            valid=depth > 0,
            segments=mat.instances(index),
            intrinsics=nyu_intrinsics(mat.height, mat.width),
            scene=mat.scene(index),
            scene_type=mat.scene_type(index),
        )

    def close(self) -> None:
        self._mat.close()

    @cached_property
    def _indices(self) -> dict[str, tuple[int, ...]]:
        count = self._mat.count
        if self._splits_path is not None:
            return read_splits(self._splits_path, count)
        if count != OFFICIAL_IMAGES:
            raise DataError(
                f"'{self._path}' holds {count} images, the official split needs "
                f"{OFFICIAL_IMAGES}; set dataset.splits"
            )
        return official_splits()

    def _index(self, image_id: str) -> int:
        index = int(image_id) - 1 if image_id.isdecimal() else -1
        if not 0 <= index < self._mat.count or image_id != _number_id(index):
            raise DataError(
                f"'{self._path}' has no image '{image_id}'; its images are "
                f"{_number_id(0)} to {_number_id(self._mat.count - 1)}"
            )
        return index


class _Extracted:
    """The folder of extracted images."""

    def __init__(self, path: Path, train: str, test: str) -> None:
        self._folder = PngFolder(path, (train, test))

    def variants(self) -> tuple[DepthVariant, ...]:
        return ("raw",)

    def has_instances(self) -> bool:
        return False

    def splits(self) -> dict[str, tuple[str, ...]]:
        return self._folder.splits

    def fingerprint(self) -> str:
        return self._folder.sha256

    def read(self, image_id: str, variant: DepthVariant) -> Sample:
        folder = self._folder
        if variant != "raw":
            raise DataError(f"'{folder.root}' holds no {variant} depth; set dataset.depth: raw")
        image, depth = folder.image(image_id), folder.depth(image_id)
        if image.shape[1:] != depth.shape:
            pair = folder.pair(image_id)
            raise DataError(
                f"'{folder.root}': {pair.colour} is {image.shape[1]}×{image.shape[2]} but "
                f"{pair.depth} is {depth.shape[0]}×{depth.shape[1]}; extract both at one size"
            )
        scene = PurePosixPath(image_id).parent.name
        return Sample(
            id=image_id,
            image=image,
            depth=depth,
            valid=depth > 0,
            intrinsics=nyu_intrinsics(depth.shape[0], depth.shape[1], folder.pair(image_id).focal),
            scene=scene or None,
            scene_type=re.sub(r"_\d+[a-z]*$", "", scene) or None,
        )

    def close(self) -> None:
        pass


def _number_id(index: int) -> str:
    return f"{index + 1:04d}"


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
