"""Small data sets in the published layouts, for tests. Frames are asymmetric in every axis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.data.labeled_mat import LabeledSample, write_labeled_mat, write_splits

SCENES = ("kitchen_0004", "kitchen_0017a", "office_0001")
REAL = Path(__file__).parents[3] / "../shared/nyu_real"
WITHOUT_REAL = f"no real NYU images at {REAL}"


def colour(index: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    """(3, H, W): red is the row, green the column, blue the image's number."""
    rows, columns = np.mgrid[:height, :width]
    planes = [rows, columns, np.full((height, width), index)]
    return (np.stack(planes) % 256).astype(np.uint8)


def metres(index: int, height: int, width: int) -> npt.NDArray[np.float32]:
    """(H, W) float32, 1 m at the top left, growing faster down than to the right."""
    rows, columns = np.mgrid[:height, :width]
    return (1 + 0.1 * index + 4 * rows / height + 2 * columns / width).astype(np.float32)


def samples(count: int, height: int, width: int) -> Iterator[LabeledSample]:
    """Samples with a hole in the top left corner and two objects of two classes."""
    for index in range(count):
        depth = metres(index, height, width)
        raw = depth.copy()
        raw[: height // 4, : width // 2] = 0
        labels = np.zeros((height, width), np.uint16)
        labels[:, : width // 2], labels[:, width // 2 :] = 3, 300
        instances = np.zeros((height, width), np.uint8)
        instances[height // 2 :] = 1
        scene = SCENES[index % len(SCENES)]
        yield LabeledSample(
            image=colour(index, height, width),
            depth=depth,
            raw_depth=raw,
            labels=labels,
            instances=instances,
            scene=scene,
            scene_type=scene.split("_")[0],
        )


def make_mat(folder: Path, count: int = 6, height: int = 24, width: int = 32) -> tuple[Path, Path]:
    """Write a labelled file and a splits file (the last third is the test split)."""
    folder.mkdir(parents=True, exist_ok=True)
    mat, splits = folder / "small_labeled.mat", folder / "splits.mat"
    write_labeled_mat(mat, count, height, width, samples(count, height, width))
    first_test = count - max(1, count // 3)
    write_splits(splits, range(first_test), range(first_test, count))
    return mat, splits


def arrays_as_published(count: int = 2, height: int = 6, width: int = 8) -> dict[str, Any]:
    """The arrays of a labelled file as HDF5 shows them, without scenes."""
    made = list(samples(count, height, width))
    return {
        "images": np.stack([item.image.transpose(0, 2, 1) for item in made]),
        "depths": np.stack([item.depth.T for item in made]),
        "rawDepths": np.stack([item.raw_depth.T for item in made]),
        "labels": np.stack([item.labels.T for item in made]),
        "instances": np.stack([item.instances.T for item in made]),
    }


def write_arrays(path: Path, arrays: dict[str, Any]) -> Path:
    """Write any arrays as a file with a MATLAB user block: for layouts that are wrong."""
    import h5py

    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in arrays.items():
            chunks = (1, *values.shape[1:]) if values.size else None
            file.create_dataset(
                name, data=values, chunks=chunks, compression="gzip" if chunks else None
            )
    return path


def make_pair(folder: Path, name: str, index: int = 0, height: int = 24, width: int = 32) -> None:
    """Write ``rgb_NAME.png`` and ``sync_depth_NAME.png``; the top left corner is a hole."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(colour(index, height, width).transpose(1, 2, 0)).save(
        folder / f"rgb_{name}.png"
    )
    millimetres = np.rint(metres(index, height, width) * 1000).astype(np.uint16)
    millimetres[:2, :3] = 0
    Image.fromarray(millimetres).save(folder / f"sync_depth_{name}.png")


def make_folder(root: Path, height: int = 24, width: int = 32) -> Path:
    """Write ``train/`` with two scenes of two images and ``test/`` with one scene of two."""
    for split, scenes in {"train": ("kitchen_0028b", "office_0003"), "test": ("bathroom",)}.items():
        for scene in scenes:
            for index in (5, 45):
                make_pair(root / split / scene, f"{index:05d}", index, height, width)
    return root
