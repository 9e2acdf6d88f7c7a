from __future__ import annotations

import pickle
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from bench.data import nyu
from bench.data.base import Subset
from bench.data.labeled_mat import read_splits, write_splits
from bench.data.nyu import NyuParams, NyuV2, nyu_intrinsics, official_splits
from bench.errors import DataError
from bench.paths import Located
from tests.unit.data.making import (
    REAL,
    WITHOUT_REAL,
    colour,
    make_folder,
    make_mat,
    metres,
    write_arrays,
)
from tests.unit.data.test_labeled_mat import changed, refused

real = pytest.mark.skipif(not REAL.is_dir(), reason=WITHOUT_REAL)


def data_set(path: Path, **params: Any) -> NyuV2:
    return NyuV2(NyuParams(path=path, **params))


def small(folder: Path, **params: Any) -> NyuV2:
    mat, splits = make_mat(folder)
    return data_set(mat, splits=splits, **params)


def test_sample_from_the_labelled_file(tmp_path: Path) -> None:
    sample = small(tmp_path).read("0002", "raw")
    assert sample.id == "0002"
    np.testing.assert_array_equal(sample.image, colour(1, 24, 32))
    hole = np.zeros((24, 32), bool)
    hole[:6, :16] = True
    np.testing.assert_array_equal(sample.valid, ~hole)
    np.testing.assert_array_equal(sample.depth, np.where(hole, 0, metres(1, 24, 32)))
    assert sample.segments is not None
    assert [sample.segments[row, column] for row in (0, 23) for column in (0, 31)] == [0, 0, 1, 2]
    assert (sample.scene, sample.scene_type) == ("kitchen_0017a", "kitchen")


def test_not_a_number_is_not_valid(tmp_path: Path) -> None:
    arrays = changed()
    arrays["depths"][0, 3, 2] = np.nan
    mat = write_arrays(tmp_path / "a.mat", arrays)
    sample = data_set(mat).read("0001", "filled")
    assert not sample.valid[2, 3]
    assert sample.depth[2, 3] == 0
    assert sample.valid.sum() == 6 * 8 - 1


def test_camera_scales_with_the_frame(tmp_path: Path) -> None:
    np.testing.assert_allclose(
        nyu_intrinsics(480, 640), [[518.86, 0, 325.58], [0, 519.47, 253.74], [0, 0, 1]]
    )
    np.testing.assert_allclose(
        nyu_intrinsics(120, 320), [[259.43, 0, 162.79], [0, 129.8675, 63.435], [0, 0, 1]]
    )
    np.testing.assert_allclose(
        nyu_intrinsics(480, 640, 1037.72)[:2, :2].diagonal(), [1037.72, 1038.94]
    )
    intrinsics = small(tmp_path).read("0001", "raw").intrinsics
    assert intrinsics is not None
    np.testing.assert_allclose(intrinsics[0], [518.86 / 20, 0, 325.58 / 20])


def test_splits_of_the_file(tmp_path: Path) -> None:
    data = small(tmp_path)
    assert data.splits() == {"train": ("0001", "0002", "0003", "0004"), "test": ("0005", "0006")}
    train = Subset.of_split(data, "train", limit=3)
    assert (train.ids, train.of, train.variant) == (("0001", "0002", "0003"), 4, "filled")
    assert Subset.of_split(data, "test").variant == "raw"
    assert train[2].id == "0003"


def test_official_split_is_the_default_of_1449_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    official = official_splits()
    assert [len(official[split]) for split in ("train", "test")] == [795, 654]
    assert sorted(official["train"] + official["test"]) == list(range(1449))
    assert official["test"][:4] == (0, 1, 8, 13)
    mat, _ = make_mat(tmp_path)
    data = data_set(mat)
    refused(data.splits, "6 images", "official split needs 1449", "dataset.splits")
    monkeypatch.setattr(nyu, "OFFICIAL_IMAGES", 6)
    assert data.splits()["test"][:2] == ("0001", "0002")


def test_variant_that_is_not_there_is_refused_in_the_plan(tmp_path: Path) -> None:
    mat = write_arrays(tmp_path / "filled.mat", changed(rawDepths=None))
    write_splits(tmp_path / "s.mat", [0], [1])
    data = data_set(mat, splits=tmp_path / "s.mat")
    assert data.variants() == ("filled",)
    assert Subset.of_split(data, "train").variant == "filled"
    refused(lambda: Subset.of_split(data, "test"), "filled.mat", "no raw depth", "depth: filled")
    both = data_set(mat, splits=tmp_path / "s.mat", depth="filled")
    assert len(Subset.of_split(both, "test")) == 1


def test_fingerprint_follows_content_and_splits(tmp_path: Path) -> None:
    first = small(tmp_path / "a").fingerprint()
    mat, splits = make_mat(tmp_path / "b")
    assert data_set(mat, splits=splits, depth="raw").fingerprint() == first
    write_splits(splits, [0, 1, 2], [3, 4, 5])
    assert data_set(mat, splits=splits).fingerprint() != first
    other = make_mat(tmp_path / "c", count=6, height=12)
    assert data_set(other[0], splits=other[1]).fingerprint() != first


def test_unknown_split_and_image(tmp_path: Path) -> None:
    data = small(tmp_path, test="tset")
    refused(lambda: Subset.of_split(data, "test"), "'tset'", "small_labeled.mat", "mean 'test'")
    for image_id in ("0007", "0000", "1", "-001", "x", ""):
        refused(lambda image_id=image_id: data.read(image_id, "raw"), f"'{image_id}'", "0006")


def test_paths_that_are_not_there(tmp_path: Path) -> None:
    gone = data_set(tmp_path / "gone.mat")
    for call in (gone.splits, gone.fingerprint, gone.variants):
        refused(call, "gone.mat", "dataset.path")
    mat, _ = make_mat(tmp_path)
    refused(data_set(mat, splits=tmp_path / "gone.mat").splits, "gone.mat", "dataset.splits")
    folder = make_folder(tmp_path / "folder")
    refused(data_set(folder, splits=mat).splits, "dataset.splits", "folder")


def test_unknown_keys_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="split\n"):
        NyuParams(path=tmp_path, split="x")  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="path"):
        NyuParams()  # type: ignore[call-arg]


def test_reader_survives_pickling(tmp_path: Path) -> None:
    data = small(tmp_path)
    expected = data.read("0003", "raw")
    copy = pickle.loads(pickle.dumps(data))
    np.testing.assert_array_equal(copy.read("0003", "raw").image, expected.image)
    assert copy.fingerprint() == data.fingerprint()
    data.close()
    assert data.read("0003", "raw").id == "0003"


def test_folder_sample(tmp_path: Path) -> None:
    data = data_set(make_folder(tmp_path), depth="raw")
    assert data.splits()["test"] == ("test/bathroom/rgb_00005", "test/bathroom/rgb_00045")
    sample = data.read("train/kitchen_0028b/rgb_00045", "raw")
    np.testing.assert_array_equal(sample.image, colour(45, 24, 32))
    np.testing.assert_allclose(sample.depth[5:], metres(45, 24, 32)[5:], atol=5.01e-4)
    np.testing.assert_array_equal(np.argwhere(~sample.valid).max(axis=0), [1, 2])
    assert (sample.scene, sample.scene_type) == ("kitchen_0028b", "kitchen")
    assert data.read("test/bathroom/rgb_00005", "raw").scene_type == "bathroom"
    assert sample.intrinsics is not None


def test_folder_holds_raw_depth_only(tmp_path: Path) -> None:
    data = data_set(make_folder(tmp_path))
    refused(lambda: Subset.of_split(data, "train"), str(tmp_path), "no filled", "depth: raw")
    image_id = data.splits()["test"][0]
    refused(lambda: data.read(image_id, "filled"), str(tmp_path), "depth: raw")


def test_list_file_beside_the_suite(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "data")
    suites = tmp_path / "suites"
    suites.mkdir()
    line = "/test/bathroom/rgb_00005.png test/bathroom/sync_depth_00005.png 1037.72"
    (suites / "mine.txt").write_text(line + "\n")
    params = {"test": Located("mine.txt", base=suites), "depth": "raw"}
    data = data_set(folder, **params)
    test = Subset.of_split(data, "test")
    assert (test.split, test.ids) == ("mine.txt", ("test/bathroom/rgb_00005",))
    intrinsics = test[0].intrinsics
    assert intrinsics is not None
    assert intrinsics[0, 0] == pytest.approx(1037.72)
    assert pickle.loads(pickle.dumps(data)).splits() == data.splits()
    refused(data_set(folder, test="mine.txt").splits, "mine.txt", str(folder))


@real
def test_real_subset() -> None:
    data = data_set(
        REAL / "nyu_real25_labeled.mat", splits=REAL / "splits_real25.mat", depth="filled"
    )
    test = Subset.of_split(data, "test")
    assert len(test) == 9
    assert test.ids[:2] == ("0003", "0006")
    sample = test[0]
    assert sample.valid.all()
    assert sample.segments is None
    data.fingerprint()
    start = time.perf_counter()
    data_set(REAL / "nyu_real25_labeled.mat", splits=REAL / "splits_real25.mat").fingerprint()
    assert time.perf_counter() - start < 0.1
    refused(data_set(REAL / "nyu_real25_labeled.mat").splits, "holds 25 images", "1449")


@real
def test_real_official_split_is_the_one_shipped() -> None:
    assert official_splits() == read_splits(REAL / "splits_official.mat", 1449)


@real
def test_real_constant_depth_answer() -> None:
    """Constant 2.5 m over the Eigen region of the 9 test images, in plain float64."""
    data = data_set(
        REAL / "nyu_real25_labeled.mat", splits=REAL / "splits_real25.mat", depth="filled"
    )
    delta1, abs_rel = [], []
    for sample in map(Subset.of_split(data, "test").__getitem__, range(9)):
        depth = sample.depth[45:471, 41:601].astype(np.float64)
        depth = depth[(depth > 1e-3) & (depth < 10)]
        delta1.append((np.maximum(depth / 2.5, 2.5 / depth) < 1.25).mean())
        abs_rel.append((np.abs(depth - 2.5) / depth).mean())
    assert np.mean(delta1) == pytest.approx(0.313845, abs=1e-6)
    assert np.mean(abs_rel) == pytest.approx(0.391863, abs=1e-6)


@real
def test_real_extracted_pairs(tmp_path: Path) -> None:
    scene = tmp_path / "test/office_0001"
    scene.mkdir(parents=True)
    for number in ("00000", "00050", "00100"):
        shutil.copy(REAL / f"metric3d_rgb_{number}.jpg", scene / f"rgb_{number}.jpg")
        shutil.copy(REAL / f"metric3d_sync_depth_{number}.png", scene / f"sync_depth_{number}.png")
    data = data_set(tmp_path, depth="raw")
    test = Subset.of_split(data, "test")
    assert len(test) == 3
    for index in range(3):
        sample = test[index]
        assert sample.image.shape == (3, 480, 640)
        assert 0.245 < 1 - sample.valid.mean() < 0.335
        assert 4 < sample.depth.max() < 9
    with pytest.raises(DataError, match="no split 'train'"):
        Subset.of_split(data, "train")


@real
def test_real_bts_pair_by_list(tmp_path: Path) -> None:
    scene = tmp_path / "kitchen_0028b"
    scene.mkdir()
    shutil.copy(REAL / "unidepth_rgb.png", scene / "rgb_00045.png")
    shutil.copy(REAL / "unidepth_depth.png", scene / "sync_depth_00045.png")
    (tmp_path / "files.txt").write_text(
        "/kitchen_0028b/rgb_00045.png /kitchen_0028b/sync_depth_00045.png 518.8579\n"
    )
    sample = data_set(tmp_path, test="files.txt").read("kitchen_0028b/rgb_00045", "raw")
    published = np.load(REAL / "unidepth_intrinsics.npy")
    np.testing.assert_allclose(sample.intrinsics, published, atol=5e-3)
    assert sample.image[:, :5].max() < 20  # the black border, after JPEG
    assert 1 - sample.valid.mean() == pytest.approx(0.32, abs=0.01)


def test_instances_are_told_without_reading_an_image(tmp_path: Path) -> None:
    mat, splits = make_mat(tmp_path, count=3)
    assert NyuV2(NyuParams(path=mat, splits=splits)).has_instances()
    import h5py

    with h5py.File(mat, "r+") as file:
        del file["instances"]
    assert not NyuV2(NyuParams(path=mat, splits=splits)).has_instances()
