"""Predictions of other code: found, checked, scored, and known by content."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from bench.cli import main
from bench.data.base import Subset
from bench.data.rooms import Rooms, RoomsParams
from bench.records import Record, load_records

Array = npt.NDArray[Any]
ROOMS = "dataset: {name: rooms, images: 1, test_images: 3, height: 48, width: 64}"
Writer = Callable[[Path, Mapping[str, Array]], Path]


@pytest.fixture(scope="module")
def depths() -> dict[str, Array]:
    """Ground truth of the three test images by id, without holes."""
    dataset = Rooms(RoomsParams(images=1, test_images=3, height=48, width=64))
    dataset.prepare(lambda line: None)
    test = Subset.of_split(dataset, "test")
    samples = [test[index] for index in range(len(test))]
    return {item.id: np.where(item.depth > 0, item.depth, 2).astype(float) for item in samples}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def suite(params: str, protocols: str = "full", extra: str = "") -> str:
    method = f"- {{name: predictions, params: {{{params}}}}}"
    text = f"suite: outside\n{ROOMS}\nprotocols: [{protocols}]\n{extra}\nmethods:\n  {method}\n"
    Path("outside.yml").write_text(text)
    return "outside.yml"


def run(params: str, protocols: str = "full") -> Record:
    assert main(["run", suite(params, protocols)]) == 0
    return load_records("leaderboard/records")[-1]


def refused(params: str, capsys: pytest.CaptureFixture[str], protocols: str = "full") -> str:
    capsys.readouterr()
    assert main(["run", suite(params, protocols)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert not Path("leaderboard").exists(), "nothing was scored"
    return error


def as_npy(folder: Path, maps: Mapping[str, Array]) -> Path:
    for name, values in maps.items():
        path = folder / "maps" / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, values.astype(np.float32))
    return folder / "maps"


def as_npz(folder: Path, maps: Mapping[str, Array]) -> Path:
    np.savez(folder / "maps.npz", **{name: values[None] for name, values in maps.items()})
    return folder / "maps.npz"


def as_h5(folder: Path, maps: Mapping[str, Array]) -> Path:
    with h5py.File(folder / "maps.h5", "w") as file:
        for name, values in maps.items():
            file[name] = values[..., None]
    return folder / "maps.h5"


def abs_rel(record: Record) -> float:
    return record.scores[0].metrics["abs_rel"].mean


@pytest.mark.parametrize("write", [as_npy, as_npz, as_h5])
def test_metres_are_scored_as_they_are(
    here: Path, depths: Mapping[str, Array], write: Writer
) -> None:
    path = write(here, {name: depth * 1.25 for name, depth in depths.items()})
    record = run(f"path: {path}")
    assert abs_rel(record) == pytest.approx(0.25, rel=1e-5)
    assert record.method.output == "metric"


def test_png_in_millimetres_by_place_in_a_list(here: Path, depths: Mapping[str, Array]) -> None:
    (here / "png").mkdir()
    order = list(depths)[::-1]
    for place, name in enumerate(order):
        millimetres = np.round(depths[name] * 1000).astype(np.uint16)
        Image.fromarray(millimetres).save(here / "png" / f"{place + 1:05d}.png")
    (here / "order.txt").write_text("\n".join(order))
    record = run("path: png, scale: 0.001, order: order.txt, names: '{number:05d}.png'")
    assert abs_rel(record) < 5e-4


def test_disparity_is_inverted_or_aligned_as_its_output_says(
    here: Path, depths: Mapping[str, Array]
) -> None:
    path = as_npy(here, {name: 4 / depth for name, depth in depths.items()})
    inverted = run(f"path: {path}, content: disparity, scale: 0.25")
    assert abs_rel(inverted) < 1e-6
    relative = f"path: {path}, content: disparity, output: affine-disparity"
    record = run(relative, "nyu-affine-disparity")
    assert abs_rel(record) < 1e-6
    assert record.method.output == "affine-disparity"


def test_negative_scales_are_in_the_record(here: Path, depths: Mapping[str, Array]) -> None:
    signs = (-1, 1, -1)
    maps = {name: depth * sign for (name, depth), sign in zip(depths.items(), signs, strict=True)}
    record = run(f"path: {as_npy(here, maps)}, output: affine-depth", "nyu-marigold")
    assert record.scores[0].invalid.negative_scale_images == 2


def test_the_mirrored_pass_is_the_prediction_mirrored(
    here: Path, depths: Mapping[str, Array]
) -> None:
    path = as_npy(here, {name: depth * 1.25 for name, depth in depths.items()})
    assert abs_rel(run(f"path: {path}", "nyu-zoedepth")) == pytest.approx(0.25, rel=1e-5)


def test_predictions_of_a_crop_are_scored_where_the_protocol_shows_that_crop(
    here: Path, depths: Mapping[str, Array], capsys: pytest.CaptureFixture[str]
) -> None:
    crops = {name: depth[6:47, 6:60] for name, depth in depths.items()}
    path = as_npy(here, crops)
    whole = refused(f"path: {path}", capsys, "nyu-study")
    assert "'nyu-study' shows methods rows [56, 472], cols [60, 604], but" in whole
    view = "view: {rows: [56, 472], cols: [60, 604]}"
    assert "set view to what they were made from" in refused(f"path: {path}, {view}", capsys)
    assert abs_rel(run(f"path: {path}, {view}", "nyu-study")) < 1e-6


def test_content_is_in_the_keys_and_place_is_not(here: Path, depths: Mapping[str, Array]) -> None:
    first = run(f"path: {as_npy(here, depths)}")
    (here / "maps").rename(here / "moved")
    assert main(["run", suite("path: moved")]) == 0
    assert len(load_records("leaderboard/records")) == 1, "the same predictions elsewhere"
    name = next(iter(depths))
    np.save(here / "moved" / f"{name}.npy", depths[name] * 2)
    second = run("path: moved")
    assert second.keys.cell != first.keys.cell
    assert abs_rel(second) > abs_rel(first)


def test_missing_extra_and_misshapen_files_are_all_named_before_anything_is_scored(
    here: Path, depths: Mapping[str, Array], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, third = depths
    maps = {first: depths[first], second: np.zeros((3, 4, 5)), "stranger": depths[first]}
    error = refused(f"path: {as_npy(here, maps)}", capsys)
    assert f"1 of 3 are missing ({third}.npy)" in error
    assert "1 belong to no image of the split (stranger.npy)" in error
    assert f"({second}.npy: 3×4×5, no map)" in error
    np.save(here / "maps" / f"{second}.npy", np.zeros((5, 7)))
    assert f"({second}.npy: 5×7)" in refused("path: maps", capsys)
    (here / "maps" / f"{second}.npy").write_bytes(b"no array")
    assert re.search(rf"\({second}.npy: \w+", refused("path: maps", capsys))
    np.save(here / "maps" / f"{second}.npy", np.array([["text"]]))
    assert "not numbers" in refused("path: maps", capsys)


def test_only_the_images_asked_for_need_to_be_there(
    here: Path, depths: Mapping[str, Array]
) -> None:
    path = as_npy(here, dict(list(depths.items())[:1]))
    assert main(["run", suite(f"path: {path}"), "--limit", "1"]) == 0


def test_maps_of_other_proportions_than_the_view_fail_and_say_so(
    here: Path, depths: Mapping[str, Array], capsys: pytest.CaptureFixture[str]
) -> None:
    path = as_npy(here, {name: depth.T for name, depth in depths.items()})
    assert main(["run", suite(f"path: {path}")]) == 1
    assert "is 64×48, of other proportions than the 48×64" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ("path: nowhere", "there is no such file or folder"),
        ("path: empty", "neither .npy nor .png"),
        ("path: both", "both .npy and .png"),
        ("path: both, format: png", "say what a PNG's unit is"),
        ("path: both, format: npz", "not one .npz file"),
        ("path: junk.npz", "cannot be read as npz"),
        ("path: junk.h5", "cannot be read as h5"),
        ("path: outside.yml", "must be .npz or .h5"),
        ("path: both, names: 'x'", "must hold {id}"),
        ("path: both, names: '{id.real}'", "names"),
        ("path: both, names: '{'", "is no template"),
        ("path: both, names: '{index}'", "need order"),
        ("path: both, format: npy, order: junk.npz", "junk"),
        ("path: both, format: npy, order: twice.txt", "'a' is there twice"),
        ("path: both, scale: 0", "scale"),
        ("path: both, output: affine-disparity", "needs content: disparity"),
        ("path: both, output: affine-depth, content: disparity", "affine-disparity"),
        ("path: both, format: npy, output: scale", "cannot score method 'predictions'"),
    ],
)
def test_mistakes_are_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], params: str, said: str
) -> None:
    (here / "empty").mkdir()
    (here / "both").mkdir()
    (here / "both" / "a.npy").write_bytes(b"")
    (here / "both" / "a.png").write_bytes(b"")
    for name in ("junk.npz", "junk.h5"):
        (here / name).write_bytes(b"\xff\xfe junk")
    (here / "twice.txt").write_text("a\nb\na\n")
    assert said in refused(params, capsys)
