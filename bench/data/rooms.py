"""`rooms`: the embedded data set of synthetic furnished rooms.

Rooms are made up from random numbers, then ray-cast with NYU Depth v2's camera: RGB, exact depth,
depth with a sensor's holes and steps, object instances. They are made on first use, kept in the
store in the layout of ``nyu_depth_v2_labeled.mat``, and read back through the same reader.

The same parameters give the same bits on every machine. Room i of a split depends on nothing but
the seed, the split and i: asking for more images keeps those there were.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from bench.data.base import Dataset, DatasetParams, Split
from bench.data.labeled_mat import LabeledMat, LabeledSample, write_labeled_mat, write_splits
from bench.data.rooms_layout import make_scene
from bench.data.rooms_scene import Draw, Label, Scene
from bench.errors import DataError, StoreError
from bench.store import cache_root, publish_folder
from bench.types import DepthVariant, Sample

GENERATOR_VERSION = 1
"""Goes up whenever the same parameters would give other images."""

MAT_NAME = "rooms_labeled.mat"
SPLITS_NAME = "splits.mat"

_STREAMS: dict[Split, int] = {"train": 0, "test": 1}
_SENSOR = 1  # the random stream of noise and holes, apart from the scene's
_REPORT_EVERY = 32
_GRAIN = 3.0  # largest noise of the picture, in units of 1/255


class RoomsParams(DatasetParams):
    """Parameters of `rooms`.

    Attributes:
        images: Training images.
        test_images: Test images.
        height: Rows of each image.
        width: Columns of each image.
        seed: Another seed gives other rooms.
    """

    images: int = Field(default=256, ge=1, le=100_000)
    test_images: int = Field(default=64, ge=1, le=100_000)
    height: int = Field(default=120, ge=24, le=1080)
    width: int = Field(default=160, ge=32, le=1440)
    seed: int = Field(default=0, ge=0, lt=1 << 32)

    def counts(self) -> dict[Split, int]:
        """How many images each split has."""
        return {"train": self.images, "test": self.test_images}


class Rooms(Dataset):
    """Synthetic furnished rooms, made on first use and kept in the store.

    Attributes:
        folder: Where the store keeps these rooms.
    """

    name: ClassVar[str] = "rooms"
    summary: ClassVar[str] = "synthetic furnished rooms with exact depth; made on first use"
    Params: ClassVar[type[DatasetParams]] = RoomsParams
    synthetic: ClassVar[bool] = True

    def __init__(self, params: RoomsParams) -> None:
        super().__init__(params)
        self.folder = cache_root() / "data" / f"rooms-{self.fingerprint()[:16]}"
        self._mat = LabeledMat(self.folder / MAT_NAME)
        self._numbers = {
            image_id: number
            for number, image_id in enumerate(i for ids in self.splits().values() for i in ids)
        }

    def fingerprint(self) -> str:
        """SHA-256 (hex) of generator version and parameters; nothing is made."""
        params: RoomsParams = self.params
        content = {"generator": GENERATOR_VERSION, **_making(params)}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def splits(self) -> dict[str, tuple[str, ...]]:
        """``train_00000`` ... and ``test_00000`` ...; nothing is made."""
        params: RoomsParams = self.params
        return {
            split: tuple(_image_id(split, index) for index in range(count))
            for split, count in params.counts().items()
        }

    def prepare(self, report: Callable[[str], None]) -> None:
        """Make the rooms, unless the store has them.

        Raises:
            StoreError: The store cannot be written.
        """
        if not self.folder.is_dir():
            with publish_folder(self.folder) as aside:
                make_rooms(self.params, aside, report)

    def read(self, image_id: str, variant: DepthVariant) -> Sample:
        """Read one room; makes them all if that has not happened yet.

        Raises:
            DataError: There is no such image, or what the store has of these rooms is damaged.
            StoreError: The store cannot be written.
        """
        number = self._numbers.get(image_id)
        if number is None:
            first, last = next(iter(self._numbers)), list(self._numbers)[-1]
            raise DataError(f"'rooms' has no image '{image_id}'; it has {first} to {last}")
        self.prepare(lambda _: None)
        try:
            return self._sample(image_id, number, variant)
        except DataError as error:
            raise DataError(
                f"the rooms kept in '{self.folder}' are damaged ({error}); "
                "delete that folder, and they are made again"
            ) from error

    def _sample(self, image_id: str, number: int, variant: DepthVariant) -> Sample:
        from bench.data.rooms_render import intrinsics

        depth = self._mat.depth(number, variant)
        return Sample(
            id=image_id,
            image=self._mat.image(number),
            depth=depth,
            valid=depth > 0,
            segments=self._mat.instances(number),
            intrinsics=intrinsics(self.params.height, self.params.width),
            scene=self._mat.scene(number),
            scene_type=self._mat.scene_type(number),
        )

    def close(self) -> None:
        """Close the file; the next `read` opens it again."""
        self._mat.close()


def make_rooms(params: RoomsParams, folder: Path, report: Callable[[str], None]) -> None:
    """Write the rooms as `rooms_labeled.mat` and `splits.mat` into a folder.

    Args:
        params: Which rooms.
        folder: Where to; made if missing, files of these names in it are replaced.
        report: Called with a line now and then.

    Raises:
        StoreError: The folder cannot be written.
    """
    counts = params.counts()
    total = sum(counts.values())

    def samples() -> Iterator[LabeledSample]:
        done = 0
        for split, count in counts.items():
            for index in range(count):
                yield make_room(params.seed, split, index, params.height, params.width)
                done += 1
                if done % _REPORT_EVERY == 0 or done == total:
                    report(f"making rooms: {done} of {total} scenes")

    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_labeled_mat(folder / MAT_NAME, total, params.height, params.width, samples())
        test = range(params.images, total)
        write_splits(folder / SPLITS_NAME, range(params.images), test)
    except OSError as error:
        raise StoreError(
            f"cannot write rooms to '{folder}' ({error.strerror or error}); "
            "choose a folder that can be written"
        ) from error


def make_room(seed: int, split: Split, index: int, height: int, width: int) -> LabeledSample:
    """Make one room.

    Args:
        seed: The data set's seed.
        split: Which split it belongs to.
        index: Its place in the split.
        height: Rows (H).
        width: Columns (W).

    Returns:
        Its image, its exact depth (0.7 to 10 m) and what a sensor would make of it, its objects.
    """
    import numpy as np

    from bench.data.rooms_render import Solids, View, cast, surfaces
    from bench.data.rooms_sensor import measure
    from bench.data.rooms_shade import colour, materials_of

    key = (seed, _STREAMS[split], index)
    scene = make_scene(key)
    view = View.of(scene.camera, height, width)
    hits = cast(scene, view)
    seen = surfaces(view, hits, Solids.of(scene))
    chance = Draw(*key, _SENSOR)
    image, brightness = colour(scene, view, hits, seen, chance.grain(height, width, _GRAIN))
    gloss = np.array([m.gloss for m in materials_of(scene)], dtype=np.float32)[hits.solid]
    raw = measure(hits.depth, seen.facing, brightness, gloss, chance.below(1 << 32))
    labels, instances = _objects(scene)
    return LabeledSample(
        image=image,
        depth=hits.depth,
        raw_depth=raw,
        labels=np.array(labels, dtype=np.uint16)[hits.solid],
        instances=np.array(instances, dtype=np.uint8)[hits.solid],
        scene=f"{scene.kind}_{_image_id(split, index)}",
        scene_type=scene.kind,
    )


def _objects(scene: Scene) -> tuple[list[int], list[int]]:
    """Class, and number within the class, of each hit number; walls are objects as in NYU."""
    labels = [Label.WALL] * 4 + [Label.FLOOR, Label.CEILING]
    numbers = [1, 2, 3, 4, 1, 1]
    count: dict[Label, int] = {}
    for part in scene.parts:
        count[part.label] = count.get(part.label, 0) + 1
        labels += [part.label] * len(part.solids)
        numbers += [count[part.label]] * len(part.solids)
    return [int(label) for label in labels], numbers


def _making(params: RoomsParams) -> dict[str, Any]:
    return params.model_dump(include={"images", "test_images", "height", "width", "seed"})


def _image_id(split: str, index: int) -> str:
    return f"{split}_{index:05d}"
