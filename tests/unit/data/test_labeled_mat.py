from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io

from bench.data.labeled_mat import LabeledMat, read_splits, write_labeled_mat, write_splits
from bench.errors import DataError
from tests.unit.data.making import (
    REAL,
    WITHOUT_REAL,
    arrays_as_published,
    colour,
    make_mat,
    metres,
    samples,
    write_arrays,
)

real = pytest.mark.skipif(not REAL.is_dir(), reason=WITHOUT_REAL)


def refused(call: Any, *words: str) -> str:
    """Call; expect one line with all the words."""
    with pytest.raises(DataError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    return message


def test_what_was_written_is_read(tmp_path: Path) -> None:
    mat = LabeledMat(make_mat(tmp_path, count=3, height=24, width=32)[0])
    assert (mat.count, mat.height, mat.width) == (3, 24, 32)
    assert mat.variants == ("raw", "filled")
    for index, written in enumerate(samples(3, 24, 32)):
        np.testing.assert_array_equal(mat.image(index), written.image)
        np.testing.assert_array_equal(mat.depth(index, "filled"), written.depth)
        np.testing.assert_array_equal(mat.depth(index, "raw"), written.raw_depth)
        assert mat.scene(index) == written.scene
        assert mat.scene_type(index) == written.scene_type
    assert mat.image(0).dtype == np.uint8
    assert mat.depth(0, "raw").dtype == np.float32


def test_published_axes_are_turned(tmp_path: Path) -> None:
    """A file made without our writer: images are stored (3, W, H), depth (W, H)."""
    mat = LabeledMat(write_arrays(tmp_path / "a.mat", arrays_as_published(2, height=6, width=8)))
    assert mat.image(1).shape == (3, 6, 8)
    assert mat.image(1)[:, 4, 7].tolist() == [4, 7, 1]
    np.testing.assert_array_equal(mat.depth(1, "filled"), metres(1, 6, 8))


def test_written_layout_is_matlabs(tmp_path: Path) -> None:
    path = make_mat(tmp_path, count=2, height=24, width=32)[0]
    assert path.read_bytes()[:20] == b"MATLAB 7.3 MAT-file,"
    assert path.read_bytes()[124:128] == b"\x00\x02IM"
    with h5py.File(path) as file:
        assert file.userblock_size == 512
        assert file["images"].shape == (2, 3, 32, 24)
        assert file["rawDepths"].shape == (2, 32, 24)
        assert file["images"].chunks == (1, 3, 32, 24)
        assert file["scenes"].shape == (1, 2)
        codes = file[file["scenes"][0, 0]][()]
    assert codes.dtype == np.uint16
    assert "".join(map(chr, codes.ravel())) == "kitchen_0004"


def test_same_samples_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = make_mat(tmp_path / "a"), make_mat(tmp_path / "b")
    assert first[0].read_bytes() == second[0].read_bytes()
    assert first[1].read_bytes() == second[1].read_bytes()


@pytest.mark.parametrize(("given", "stated"), [(2, 3), (3, 2)])
def test_wrong_number_of_samples_leaves_no_file(tmp_path: Path, given: int, stated: int) -> None:
    path = tmp_path / "a.mat"
    with pytest.raises(ValueError, match="sample"):
        write_labeled_mat(path, stated, 6, 8, samples(given, 6, 8))
    assert not path.exists()


def test_instance_is_the_pair_of_class_and_number(tmp_path: Path) -> None:
    """Numbers restart in each class: (3, 1) and (300, 1) are two objects."""
    arrays = arrays_as_published(1, 2, 3)
    arrays["labels"] = np.array([[[3, 0], [300, 3], [300, 300]]], np.uint16)  # (N, W, H)
    arrays["instances"] = np.array([[[1, 1], [1, 0], [2, 1]]], np.uint8)
    segments = LabeledMat(write_arrays(tmp_path / "a.mat", arrays)).instances(0)
    assert segments is not None
    assert segments.dtype == np.int32
    np.testing.assert_array_equal(segments, [[1, 2, 3], [0, 0, 2]])


def test_no_object_at_all(tmp_path: Path) -> None:
    arrays = arrays_as_published(1, 2, 3)
    arrays["instances"][:] = 0
    segments = LabeledMat(write_arrays(tmp_path / "a.mat", arrays)).instances(0)
    np.testing.assert_array_equal(segments, np.zeros((2, 3)))


def test_what_a_subset_leaves_out_is_none(tmp_path: Path) -> None:
    arrays = arrays_as_published()
    arrays = {name: arrays[name] for name in ("images", "rawDepths", "labels")}
    mat = LabeledMat(write_arrays(tmp_path / "a.mat", arrays))
    assert mat.variants == ("raw",)
    assert mat.instances(0) is None
    assert mat.scene(0) is None
    assert mat.scene_type(0) is None
    refused(lambda: mat.depth(0, "filled"), "a.mat", "no depths", "dataset.depth: raw")


def test_reader_survives_pickling_and_closing(tmp_path: Path) -> None:
    mat = LabeledMat(make_mat(tmp_path)[0])
    before = mat.image(2)
    copy = pickle.loads(pickle.dumps(mat))
    np.testing.assert_array_equal(copy.image(2), before)
    mat.close()
    np.testing.assert_array_equal(mat.image(2), before)


def test_what_is_no_depth_is_missing(tmp_path: Path) -> None:
    arrays = arrays_as_published(1, 6, 8)
    arrays["depths"][0, 0, :4] = [np.nan, np.inf, -np.inf, -1]
    depth = LabeledMat(write_arrays(tmp_path / "a.mat", arrays)).depth(0, "filled")
    assert depth[:5, 0].tolist() == [0, 0, 0, 0, metres(0, 6, 8)[4, 0]]


def changed(**changes: Any) -> dict[str, Any]:
    arrays = arrays_as_published() | changes
    return {name: values for name, values in arrays.items() if values is not None}


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (changed(images=None), ["no images"]),
        (changed(depths=None, rawDepths=None), ["no depth"]),
        (changed(images=np.zeros((2, 8, 6), np.uint8)), ["images", "(2, 8, 6)"]),
        (changed(images=np.zeros((2, 6, 8, 3), np.uint8)), ["images", "(2, 6, 8, 3)"]),
        (changed(images=np.zeros((0, 3, 8, 6), np.uint8)), ["images", "(0, 3, 8, 6)"]),
        (changed(images=np.zeros((2, 3, 8, 6), np.float32)), ["images", "float32", "uint8"]),
        (changed(depths=np.zeros((3, 8, 6), np.float32)), ["depths", "(3, 8, 6)", "(2, 8, 6)"]),
        (changed(rawDepths=np.zeros((2, 6, 8), np.float32)), ["rawDepths", "(2, 6, 8)"]),
        (changed(depths=np.full((2, 8, 6), 2500, np.uint16)), ["depths", "uint16", "metres"]),
        (changed(labels=np.zeros((2, 8, 5), np.uint16)), ["labels", "(2, 8, 5)"]),
        (changed(instances=np.zeros((2, 8, 6), np.float64)), ["instances", "float64"]),
        (changed(scenes=np.zeros((1, 2), np.uint16)), ["scenes", "uint16"]),
    ],
)
def test_wrong_layout_is_refused(tmp_path: Path, arrays: Any, words: list[str]) -> None:
    mat = LabeledMat(write_arrays(tmp_path / "wrong.mat", arrays))
    refused(lambda: mat.count, "wrong.mat", *words)


def test_scene_count_must_match(tmp_path: Path) -> None:
    path = make_mat(tmp_path, count=2)[0]
    with h5py.File(path, "r+") as file:
        one = file["scenes"][:, :1]
        del file["scenes"]
        file.create_dataset("scenes", data=one, dtype=h5py.ref_dtype)
    refused(lambda: LabeledMat(path).count, "scenes", "(1, 1)")


def test_depth_in_millimetres_is_refused(tmp_path: Path) -> None:
    arrays = changed(depths=np.full((2, 8, 6), 2500, np.float32))
    mat = LabeledMat(write_arrays(tmp_path / "mm.mat", arrays))
    refused(lambda: mat.depth(1, "filled"), "mm.mat", "depths of image 2", "2500", "metres")


def test_missing_file(tmp_path: Path) -> None:
    mat = LabeledMat(tmp_path / "none.mat")
    refused(lambda: mat.count, "none.mat", "No such file", "dataset.path")
    refused(lambda: LabeledMat(tmp_path).count, "directory")


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"MATLAB 5.0 MAT-file" * 99])
def test_other_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "page.mat"
    path.write_bytes(content)
    refused(lambda: LabeledMat(path).count, "page.mat", f"{len(content)} bytes", "HDF5")


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_truncated_file(tmp_path: Path, kept: float) -> None:
    path = make_mat(tmp_path)[0]
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    refused(lambda: LabeledMat(path).image(0), str(path), "damaged or incomplete")


def test_damaged_chunk_names_the_image(tmp_path: Path) -> None:
    path = make_mat(tmp_path)[0]
    with h5py.File(path) as file:
        chunk = file["images"].id.get_chunk_info(2)
    with path.open("r+b") as stream:
        # Chunk addresses already count from the file's start.
        stream.seek(chunk.byte_offset)
        stream.write(b"\xff" * chunk.size)
    mat = LabeledMat(path)
    np.testing.assert_array_equal(mat.image(1), colour(1, 24, 32))
    refused(lambda: mat.image(2), "images of image 3", "damaged")


def test_splits_are_counted_from_one(tmp_path: Path) -> None:
    path = tmp_path / "splits.mat"
    write_splits(path, [4, 0], [1])
    content = scipy.io.loadmat(path)
    assert content["trainNdxs"].tolist() == [[5], [1]]
    assert content["trainNdxs"].dtype == np.uint16
    assert read_splits(path, 5) == {"train": (4, 0), "test": (1,)}


def test_matlabs_doubles_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "splits.mat"
    scipy.io.savemat(path, {"trainNdxs": [[1.0], [2.0]], "testNdxs": 3.0})
    assert read_splits(path, 3) == {"train": (0, 1), "test": (2,)}


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"trainNdxs": [1, 2], "testNdxs": [26]}, ["testNdxs", "26", "25 images"]),
        ({"trainNdxs": [0, 2], "testNdxs": [3]}, ["trainNdxs", "0", "1 to 25"]),
        ({"trainNdxs": [-1], "testNdxs": [3]}, ["trainNdxs", "-1"]),
        ({"trainNdxs": [1.5], "testNdxs": [3]}, ["trainNdxs", "1.5"]),
        ({"trainNdxs": [np.nan], "testNdxs": [3]}, ["trainNdxs", "nan"]),
        ({"trainNdxs": [2, 2], "testNdxs": [3]}, ["trainNdxs", "2 more than once"]),
        ({"trainNdxs": [1, 7], "testNdxs": [7, 3]}, ["image 7", "both"]),
        ({"trainNdxs": [1]}, ["testNdxs", "missing"]),
        ({"trainNdxs": np.zeros((0, 1)), "testNdxs": [3]}, ["trainNdxs", "empty"]),
        ({"trainNdxs": "all", "testNdxs": [3]}, ["trainNdxs", "no numbers"]),
    ],
)
def test_wrong_splits_are_refused(tmp_path: Path, columns: Any, words: list[str]) -> None:
    path = tmp_path / "splits.mat"
    scipy.io.savemat(path, columns)
    refused(lambda: read_splits(path, 25), "splits.mat", *words)


def test_unreadable_splits_are_refused(tmp_path: Path) -> None:
    mat, splits = make_mat(tmp_path)
    refused(lambda: read_splits(tmp_path / "none.mat", 5), "none.mat", "dataset.splits")
    refused(lambda: read_splits(mat, 5), "small_labeled.mat", "7.3")
    for length in (0, 50, 150, 200):
        cut = tmp_path / f"cut{length}.mat"
        cut.write_bytes(splits.read_bytes()[:length])
        refused(lambda cut=cut: read_splits(cut, 6), cut.name)


@real
def test_real_subset() -> None:
    mat = LabeledMat(REAL / "nyu_real25_labeled.mat")
    assert (mat.count, mat.height, mat.width, mat.variants) == (25, 480, 640, ("filled",))
    assert mat.scene_type(0) == "kitchen"
    assert re.fullmatch(r"kitchen_\d+", mat.scene(0) or "")
    depth = mat.depth(0, "filled")
    assert depth.shape == (480, 640)
    assert 0.5 < depth.min() < depth.max() < 10
    # The frame is upright: the sensor's white border is 6 pixels high and 7 wide or so.
    image = mat.image(24)
    assert image.shape == (3, 480, 640)
    assert (image[:, :5] == 255).all()
    assert not (image[:, 240] == 255).all()
    refused(lambda: mat.depth(0, "raw"), "no rawDepths", "dataset.depth: filled")


@real
def test_real_splits() -> None:
    small = read_splits(REAL / "splits_real25.mat", 25)
    assert [len(small[split]) for split in ("train", "test")] == [16, 9]
    assert small["test"][:3] == (2, 5, 8)
    official = read_splits(REAL / "splits_official.mat", 1449)
    assert [len(official[split]) for split in ("train", "test")] == [795, 654]
    refused(lambda: read_splits(REAL / "splits_official.mat", 25), "25 images")
