from __future__ import annotations

import hashlib
import math
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import ValidationError

from bench.data.base import Subset
from bench.data.labeled_mat import LabeledMat, LabeledSample, read_splits
from bench.data.rooms import Rooms, RoomsParams, make_room, make_rooms
from bench.data.rooms_layout import SCENE_TYPES, make_scene
from bench.data.rooms_render import ROOM_FACES, View, cast, intrinsics
from bench.data.rooms_scene import (
    Camera,
    Label,
    Material,
    Part,
    Scene,
    Shape,
    Solid,
    Texture,
    ball,
    box,
    cylinder,
)
from bench.data.rooms_sensor import measure
from bench.errors import DataError, StoreError

HEIGHT, WIDTH = 60, 80
SEEN = range(24)  # four rooms of each type
# Changing the generator on purpose: raise GENERATOR_VERSION, then put the new hash here.
GOLDEN = "5983134d65c3d61ceb819cb1edc72307fe0c4b1fef60caaa30d6ec78eb08d92d"


@pytest.fixture(scope="module")
def rooms() -> list[LabeledSample]:
    return [make_room(0, "train", index, HEIGHT, WIDTH) for index in SEEN]


def digest(*samples: LabeledSample) -> str:
    sha = hashlib.sha256()
    for sample in samples:
        for name in ("image", "depth", "raw_depth", "labels", "instances"):
            array = getattr(sample, name)
            sha.update(f"{name} {array.dtype.str} {array.shape}".encode())
            sha.update(np.ascontiguousarray(array).tobytes())
        sha.update(f"{sample.scene} {sample.scene_type}".encode())
    return sha.hexdigest()


def small(**changes: Any) -> RoomsParams:
    sizes = {"images": 3, "test_images": 2, "height": 24, "width": 32}
    return RoomsParams(**{**sizes, **changes})


class TestGenerator:
    def test_the_same_bits_on_every_machine(self, rooms: list[LabeledSample]) -> None:
        assert digest(*rooms[:12]) == GOLDEN

    def test_another_seed_split_or_number_gives_another_room(self) -> None:
        keys = [(0, "train", 0), (1, "train", 0), (0, "test", 0), (0, "train", 6)]
        made = {digest(make_room(*key, 24, 32)) for key in keys}  # type: ignore[arg-type]
        assert len(made) == len(keys)

    def test_the_picture_does_not_depend_on_what_else_was_made(
        self, rooms: list[LabeledSample]
    ) -> None:
        assert digest(make_room(0, "train", 5, HEIGHT, WIDTH)) == digest(rooms[5])

    def test_a_room_is_the_same_room_at_another_size(self) -> None:
        coarse, fine = (make_room(0, "train", 2, h, 4 * h // 3) for h in (60, 120))
        # Pixel centres are integers, scaled with the size: every second one of the finer frame.
        np.testing.assert_allclose(coarse.depth, fine.depth[::2, ::2], rtol=2e-4, atol=2e-4)

    def test_types_shapes_and_ranges(self, rooms: list[LabeledSample]) -> None:
        for room in rooms:
            assert room.image.dtype == np.uint8
            assert room.image.shape == (3, HEIGHT, WIDTH)
            assert room.depth.dtype == room.raw_depth.dtype == np.float32
            assert room.labels.dtype == np.uint16
            assert room.instances.dtype == np.uint8
            assert room.depth.min() >= 0.7
            assert room.depth.max() <= 10.0
            assert room.instances.min() >= 1

    def test_scene_types_take_turns_and_decide_the_furniture(
        self, rooms: list[LabeledSample]
    ) -> None:
        telling = {
            "bedroom": {Label.BED},
            "kitchen": {Label.COUNTER, Label.STOVE, Label.REFRIGERATOR, Label.TABLE},
            "living_room": {Label.SOFA, Label.TELEVISION},
            "office": {Label.DESK},
            "bathroom": {Label.BATHTUB, Label.TOILET, Label.SINK},
            "dining_room": {Label.TABLE},
        }
        for index, room in enumerate(rooms):
            assert room.scene_type == SCENE_TYPES[index % 6]
            scene = make_scene((0, 0, index))
            assert {part.label for part in scene.parts} & telling[room.scene_type]
            foreign = {Label.BED, Label.BATHTUB, Label.STOVE} - telling[room.scene_type]
            assert not {part.label for part in scene.parts} & foreign

    def test_rooms_are_furnished_and_lit(self, rooms: list[LabeledSample]) -> None:
        things = [len(np.unique(room.labels * 256 + room.instances)) for room in rooms]
        assert np.median(things) >= 10
        brightness = np.array([room.image.mean() for room in rooms])
        assert brightness.min() > 70
        assert brightness.max() < 200
        assert min(room.image.std() for room in rooms) > 15

    def test_the_mean_depth_map_is_a_bad_guess(self, rooms: list[LabeledSample]) -> None:
        depth = np.stack([room.depth for room in rooms]).astype(np.float64)
        mean = depth[:12].mean(axis=0)
        assert 0.2 < np.mean(abs(mean - depth[12:]) / depth[12:]) < 0.4


class TestAgreement:
    """Depth and objects against an independent float64 ray caster that does one ray at a time."""

    @pytest.mark.parametrize("index", [0, 1, 2, 4, 5, 8])
    def test_depth_and_objects_are_what_each_ray_meets(
        self, rooms: list[LabeledSample], index: int
    ) -> None:
        scene, room = make_scene((0, 0, index)), rooms[index]
        objects = object_numbers(scene)
        random = np.random.default_rng(index)
        agreeing = 0
        for row, column in zip(
            random.integers(0, HEIGHT, 150), random.integers(0, WIDTH, 150), strict=True
        ):
            depth, hit = first_hit(scene, row, column)
            found = (room.labels[row, column], room.instances[row, column])
            # A ray along an edge may fall to either side by rounding.
            if found == objects[hit] and abs(room.depth[row, column] - depth) < 1e-3:
                agreeing += 1
        assert agreeing >= 149

    def test_colours_change_where_objects_do(self, rooms: list[LabeledSample]) -> None:
        """The step in colour is larger across an object's edge than one pixel beside it."""
        ratios = []
        for room in rooms:
            objects = room.labels.astype(np.int64) * 256 + room.instances
            step = abs(np.diff(room.image.astype(np.float64), axis=2)).sum(axis=0)
            edge = np.diff(objects, axis=1) != 0
            alone = edge[:, 2:-2] & ~(edge[:, :-4] | edge[:, 1:-3] | edge[:, 3:-1] | edge[:, 4:])
            across = step[:, 2:-2][alone].mean()
            beside = (step[:, 1:-3][alone].mean() + step[:, 3:-1][alone].mean()) / 2
            ratios.append(across / beside)
        assert np.median(ratios) > 3

    def test_floor_and_walls_are_flat_behind_the_intrinsics(
        self, rooms: list[LabeledSample]
    ) -> None:
        matrix = intrinsics(HEIGHT, WIDTH)
        rows, columns = np.mgrid[:HEIGHT, :WIDTH]
        pixels = np.stack([columns, rows, np.ones_like(rows)]).reshape(3, -1)
        for index, room in enumerate(rooms):
            scene = make_scene((0, 0, index))
            points = np.linalg.inv(matrix) @ pixels * room.depth.reshape(-1)
            camera = scene.camera
            axes = np.array([camera.right, camera.down, camera.forward])
            world = axes.T @ points + np.array(camera.position)[:, None]
            flat = {(Label.FLOOR, 1): (2, 0.0), (Label.WALL, 4): (1, scene.size[1])}
            for (label, number), (axis, place) in flat.items():
                mask = ((room.labels == label) & (room.instances == number)).reshape(-1)
                np.testing.assert_allclose(world[axis, mask], place, atol=2e-5)

    def test_cameras_are_orthonormal_and_see_no_nearer_than_they_may(self) -> None:
        for index in range(60):
            scene = make_scene((7, 0, index))
            camera = scene.camera
            axes = np.array([camera.right, camera.down, camera.forward])
            np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
            assert np.linalg.det(axes) == pytest.approx(1.0)
            depth = cast(scene, View.of(camera, 24, 32)).depth
            assert depth.min() >= 0.7
            assert depth.max() <= 10.0


class TestCast:
    @pytest.mark.parametrize(
        ("solid", "expected"),
        [
            (box(0, 4, 1, 1, 2, 1, Material(Texture.PLAIN, (1, 1, 1))), 3.0),
            (ball(0, 4, 1.5, 0.5, 1.25, 0.5, Material(Texture.PLAIN, (1, 1, 1))), 2.75),
            (cylinder(0, 4, 1, 0.5, 1, Material(Texture.PLAIN, (1, 1, 1))), 3.5),
            (cylinder(0, 4, 1, 0.5, 1, Material(Texture.PLAIN, (1, 1, 1)), taper=0.2), 3.7),
        ],
    )
    def test_depth_of_a_solid_straight_ahead(self, solid: Solid, expected: float) -> None:
        hits = cast(empty_room(solid), View.of(STRAIGHT, 480, 640))
        # The principal point lies between pixels.
        assert hits.depth[254, 326] == pytest.approx(expected, abs=2e-3)
        assert hits.solid[254, 326] == ROOM_FACES
        assert hits.depth[254, 20] == pytest.approx(6.0)

    def test_depth_is_along_the_axis_not_along_the_ray(self) -> None:
        hits = cast(empty_room(), View.of(STRAIGHT, 48, 64))
        back = hits.solid == 3
        assert back.sum() > 500
        np.testing.assert_allclose(hits.depth[back], 6.0, rtol=1e-6)

    def test_intrinsics_are_nyus_scaled(self) -> None:
        full, small_ = intrinsics(480, 640), intrinsics(120, 160)
        np.testing.assert_allclose(
            full, [[518.86, 0, 325.58], [0, 519.47, 253.74], [0, 0, 1]], rtol=1e-12
        )
        np.testing.assert_allclose(small_[:2], full[:2] / 4)


class TestSensor:
    def test_holes_are_in_raw_only_and_what_is_left_is_near_the_truth(
        self, rooms: list[LabeledSample]
    ) -> None:
        shares = []
        for room in rooms:
            hole = room.raw_depth == 0
            shares.append(hole.mean())
            assert (room.depth > 0).all()
            error = abs(room.raw_depth - room.depth)[~hole]
            # Half a step of disparity: z² over twice focal length × baseline × steps a pixel.
            step = room.depth[~hole] ** 2 / (518.86 * 0.075 * 8)
            assert (error <= 0.55 * step).all()
            assert error.max() > 0.001
        assert 0.05 < np.mean(shares) < 0.25
        assert min(shares) > 0.02
        assert max(shares) < 0.6

    def test_the_border_is_blind(self, rooms: list[LabeledSample]) -> None:
        for room in rooms:
            raw = room.raw_depth
            edges = (raw[0], raw[-1], raw[:, 0], raw[:, -1])
            assert all((edge == 0).all() for edge in edges)

    def test_the_projectors_shadow_lies_at_one_side_of_what_is_nearer(self) -> None:
        depth = np.full((480, 640), 4.0, np.float32)
        depth[100:300, 200:300] = 1.0
        raw = sensed(depth)
        # 518.86 × 0.075 × (1/1 − 1/4) = 29.2 pixels of disparity between the two.
        assert (raw[150, 300:329] == 0).all()
        assert (raw[150, 330:400] > 0).all()
        assert (raw[150, 150:300] > 0).all()

    def test_grazing_dark_and_glossy_surfaces_are_lost_in_part(self) -> None:
        depth = np.full((120, 160), 2.0, np.float32)
        clear = (sensed(depth) == 0).mean()
        for change in ({"facing": 0.05}, {"brightness": 0.005}, {"gloss": 0.6}):
            lost = (sensed(depth, **change) == 0).mean()
            assert clear + 0.1 < lost < 1.0


class TestDataset:
    def test_identity_and_splits_are_known_without_making_anything(self, tmp_path: Path) -> None:
        rooms = Rooms(RoomsParams())
        assert [len(ids) for ids in rooms.splits().values()] == [256, 64]
        assert rooms.splits()["train"][0] == "train_00000"
        assert rooms.splits()["test"][-1] == "test_00063"
        assert len(rooms.fingerprint()) == 64
        assert not rooms.folder.exists()
        assert rooms.synthetic

    @pytest.mark.parametrize(
        "change", [{"images": 4}, {"test_images": 1}, {"height": 30}, {"width": 40}, {"seed": 1}]
    )
    def test_every_parameter_of_the_pixels_is_in_the_fingerprint(
        self, change: dict[str, int]
    ) -> None:
        assert Rooms(small(**change)).fingerprint() != Rooms(small()).fingerprint()

    def test_the_depth_variant_is_not_in_the_fingerprint(self) -> None:
        assert Rooms(small(depth="raw")).fingerprint() == Rooms(small()).fingerprint()

    def test_reading_gives_what_was_made(self) -> None:
        dataset = Rooms(small())
        made = make_room(0, "test", 1, 24, 32)
        subset = Subset.of_split(dataset, "test")
        sample = subset[1]
        assert sample.id == "test_00001"
        assert sample.scene_type == made.scene_type == sample.scene.rsplit("_test", 1)[0]
        np.testing.assert_array_equal(sample.image, made.image)
        np.testing.assert_array_equal(sample.depth, made.raw_depth)
        np.testing.assert_array_equal(sample.valid, made.raw_depth > 0)
        np.testing.assert_array_equal(sample.intrinsics, intrinsics(24, 32))
        trained = Subset.of_split(dataset, "train")[0]
        np.testing.assert_array_equal(trained.depth, make_room(0, "train", 0, 24, 32).depth)
        assert trained.valid.all()

    def test_segments_are_the_objects(self) -> None:
        sample = Rooms(small()).read("train_00000", "filled")
        made = make_room(0, "train", 0, 24, 32)
        pairs = made.labels.astype(np.int64) * 256 + made.instances
        assert sample.segments is not None
        assert sample.segments.dtype == np.int32
        together = np.unique(np.stack([pairs, sample.segments]).reshape(2, -1), axis=1)
        assert together.shape[1] == len(np.unique(pairs)) == len(np.unique(sample.segments))

    def test_more_images_keep_those_there_were(self) -> None:
        few, more = Rooms(small()), Rooms(small(images=5, test_images=4))
        for image_id in ("train_00002", "test_00001"):
            a, b = few.read(image_id, "raw"), more.read(image_id, "raw")
            np.testing.assert_array_equal(a.image, b.image)
            np.testing.assert_array_equal(a.depth, b.depth)

    def test_made_once_and_reported(self) -> None:
        dataset, lines = Rooms(small()), list[str]()
        dataset.prepare(lines.append)
        assert lines == ["making rooms: 5 of 5 scenes"]
        dataset.prepare(lines.append)
        assert len(lines) == 1
        assert sorted(path.name for path in dataset.folder.iterdir()) == [
            "rooms_labeled.mat",
            "splits.mat",
        ]

    def test_an_interrupted_making_leaves_nothing(self) -> None:
        def stop(line: str) -> None:
            raise KeyboardInterrupt(line)

        dataset = Rooms(small())
        with pytest.raises(KeyboardInterrupt):
            dataset.prepare(stop)
        assert not dataset.folder.exists()
        assert list(dataset.folder.parent.iterdir()) == []

    def test_two_at_once_make_one(self) -> None:
        both = [Rooms(small()), Rooms(small())]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda dataset: dataset.prepare(lambda _: None), both))
        assert len(list(both[0].folder.parent.iterdir())) == 1
        assert both[1].read("train_00001", "filled").depth.shape == (24, 32)

    def test_survives_pickling_and_closing(self) -> None:
        dataset = Rooms(small())
        before = dataset.read("train_00001", "raw")
        dataset.close()
        copy = pickle.loads(pickle.dumps(dataset))
        np.testing.assert_array_equal(copy.read("train_00001", "raw").image, before.image)
        np.testing.assert_array_equal(dataset.read("train_00001", "raw").image, before.image)

    def test_written_to_a_folder_of_the_users(self, tmp_path: Path) -> None:
        folder = tmp_path / "new" / "rooms"
        make_rooms(small(), folder, lambda _: None)
        mat = LabeledMat(folder / "rooms_labeled.mat")
        assert (mat.count, mat.height, mat.width) == (5, 24, 32)
        assert mat.variants == ("raw", "filled")
        assert read_splits(folder / "splits.mat", 5) == {"train": (0, 1, 2), "test": (3, 4)}

    def test_a_folder_that_cannot_be_written_is_one_line(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(StoreError, match=r"cannot write rooms to '.*file/rooms'"):
            make_rooms(small(), tmp_path / "file" / "rooms", lambda _: None)

    def test_an_image_there_is_not(self) -> None:
        with pytest.raises(DataError, match=r"no image 'train_00003'.*train_00000 to test_00001"):
            Rooms(small()).read("train_00003", "raw")

    def test_damage_says_what_to_delete(self) -> None:
        dataset = Rooms(small())
        dataset.prepare(lambda _: None)
        (dataset.folder / "rooms_labeled.mat").write_bytes(b"not HDF5")
        with pytest.raises(DataError, match="delete that folder") as caught:
            dataset.read("train_00000", "raw")
        assert str(dataset.folder) in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        "change",
        [
            {"images": 0},
            {"test_images": 0},
            {"height": 8},
            {"width": 100_000},
            {"seed": -1},
            {"images": 2.5},
            {"colour": True},
        ],
    )
    def test_parameters_that_make_no_sense_are_refused(self, change: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            small(**change)


STRAIGHT = Camera((4.0, 0.0, 1.5), (1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0))


def empty_room(*solids: Solid) -> Scene:
    """A room of 8 × 6 × 3 m, seen from the middle of its front wall, with some solids in it."""
    scene = make_scene((0, 0, 0))
    moved = tuple(solid.placed(4.0, 0.0, 0.0, (1.0, 0.0)) for solid in solids)
    parts = (Part(Label.BOX, moved),) if moved else ()
    return Scene(
        kind="empty",
        size=(8.0, 6.0, 3.0),
        surfaces=scene.surfaces,
        parts=parts,
        camera=STRAIGHT,
        light=scene.light,
        glows=(),
        ambient=0.4,
        tint=(1.0, 1.0, 1.0),
        seed=0,
    )


def sensed(
    depth: npt.NDArray[np.float32],
    facing: float = 1.0,
    brightness: float = 0.5,
    gloss: float = 0.0,
) -> Any:
    surface = (np.full_like(depth, value) for value in (facing, brightness, gloss))
    return measure(depth, *surface, seed=3)


def object_numbers(scene: Scene) -> list[tuple[int, int]]:
    """(class, number within the class) of each hit: walls, floor, ceiling, then the solids."""
    numbers = [(int(Label.WALL), k) for k in (1, 2, 3, 4)]
    numbers += [(int(Label.FLOOR), 1), (int(Label.CEILING), 1)]
    seen: list[int] = []
    for part in scene.parts:
        seen.append(part.label)
        numbers += [(int(part.label), seen.count(part.label))] * len(part.solids)
    return numbers


def first_hit(scene: Scene, row: int, column: int) -> tuple[float, int]:
    """Depth and hit number of one pixel, in plain Python floats."""
    u = (column - 325.58 * WIDTH / 640) / (518.86 * WIDTH / 640)
    v = (row - 253.74 * HEIGHT / 480) / (519.47 * HEIGHT / 480)
    camera = scene.camera
    ray = [
        u * r + v * d + f for r, d, f in zip(camera.right, camera.down, camera.forward, strict=True)
    ]
    hits = []
    for axis, (towards, at, size) in enumerate(zip(ray, camera.position, scene.size, strict=True)):
        if towards:
            end = size if towards > 0 else 0.0
            hits.append(((end - at) / towards, 2 * axis + int(towards > 0)))
    for number, solid in enumerate(scene.solids):
        hits += [(t, 6 + number) for t in entries(solid, camera.position, ray)]
    return min(hits)


def entries(solid: Solid, start: tuple[float, ...], ray: list[float]) -> Iterator[float]:
    """Where a ray meets a solid's surface, by checking every face and root in turn."""
    angle = math.atan2(solid.turn[1], solid.turn[0])
    p = rotated([a - b for a, b in zip(start, solid.centre, strict=True)], -angle)
    d = rotated(ray, -angle)
    half = solid.half

    def at(t: float) -> list[float]:
        return [a + t * b for a, b in zip(p, d, strict=True)]

    if solid.shape is Shape.BOX:
        for axis, sign in product(range(3), (-1, 1)):
            if d[axis]:
                t = (sign * half[axis] - p[axis]) / d[axis]
                point = at(t)
                if t > 0 and all(abs(point[k]) <= half[k] for k in range(3) if k != axis):
                    yield t
    elif solid.shape is Shape.ELLIPSOID:
        q = [a / h for a, h in zip(p, half, strict=True)]
        e = [a / h for a, h in zip(d, half, strict=True)]
        yield from roots(dot(e, e), 2 * dot(q, e), dot(q, q) - 1)
    else:
        lean = (solid.taper - 1) * half[0] / (2 * half[2])
        middle = (solid.taper + 1) * half[0] / 2 + lean * p[2]
        a = d[0] ** 2 + d[1] ** 2 - (lean * d[2]) ** 2
        b = 2 * (p[0] * d[0] + p[1] * d[1] - middle * lean * d[2])
        for t in roots(a, b, p[0] ** 2 + p[1] ** 2 - middle**2):
            if abs(at(t)[2]) <= half[2]:
                yield t
        for level, radius in ((-half[2], half[0]), (half[2], half[0] * solid.taper)):
            if d[2]:
                t = (level - p[2]) / d[2]
                if t > 0 and math.hypot(*at(t)[:2]) <= radius:
                    yield t


def roots(a: float, b: float, c: float) -> Iterator[float]:
    inside = b * b - 4 * a * c
    if inside >= 0 and a:
        for sign in (-1, 1):
            t = (-b + sign * math.sqrt(inside)) / (2 * a)
            if t > 0:
                yield t


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def rotated(vector: list[float], angle: float) -> list[float]:
    x, y, z = vector
    cos, sin = math.cos(angle), math.sin(angle)
    return [cos * x - sin * y, sin * x + cos * y, z]
