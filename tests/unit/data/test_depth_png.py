from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data.depth_png import PngFolder
from tests.unit.data.making import colour, make_folder, make_pair
from tests.unit.data.test_labeled_mat import refused

PAIR = "kitchen_0028b/rgb_00045.png kitchen_0028b/sync_depth_00045.png"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the pair that `PAIR` names, and one more."""
    make_pair(tmp_path / "kitchen_0028b", "00045", 45)
    make_pair(tmp_path / "kitchen_0028b", "00046", 46)
    return tmp_path


def listed(folder: Path, text: str) -> PngFolder:
    (folder / "files.txt").write_text(text)
    return PngFolder(folder, ["files.txt"])


def test_scanned_subfolders(tmp_path: Path) -> None:
    splits = PngFolder(make_folder(tmp_path), ["train", "test"]).splits
    assert splits == {
        "train": (
            "train/kitchen_0028b/rgb_00005",
            "train/kitchen_0028b/rgb_00045",
            "train/office_0003/rgb_00005",
            "train/office_0003/rgb_00045",
        ),
        "test": ("test/bathroom/rgb_00005", "test/bathroom/rgb_00045"),
    }


def test_scan_leaves_other_files_alone(folder: Path) -> None:
    (folder / "kitchen_0028b/notes.txt").write_text("x")
    Image.new("RGB", (4, 4)).save(folder / "kitchen_0028b/preview.png")
    assert len(PngFolder(folder, ["kitchen_0028b"]).splits["kitchen_0028b"]) == 2


def test_list_in_its_own_order(folder: Path) -> None:
    second = PAIR.replace("00045", "00046")
    reader = listed(folder, f"/{second.replace(' ', ' /')}   518.8579\n\n{PAIR}\n")
    ids = reader.splits["files.txt"]
    assert ids == ("kitchen_0028b/rgb_00046", "kitchen_0028b/rgb_00045")
    assert [reader.pair(image_id).focal for image_id in ids] == [518.8579, None]
    np.testing.assert_array_equal(reader.image(ids[1]), colour(45, 24, 32))


def test_line_without_depth_is_left_out(folder: Path) -> None:
    gone = "kitchen_0028b/rgb_00047.png None 518.8579"
    assert listed(folder, f"{gone}\n{PAIR}\n").splits == {"files.txt": ("kitchen_0028b/rgb_00045",)}
    refused(lambda: listed(folder, gone).splits, "files.txt", "no image with depth")


def test_depth_is_millimetres(folder: Path) -> None:
    values = np.array([[0, 1, 1000], [2500, 9999, 65535]], np.uint16)
    Image.fromarray(values).save(folder / "kitchen_0028b/sync_depth_00045.png")
    depth = listed(folder, PAIR).depth("kitchen_0028b/rgb_00045")
    assert depth.dtype == np.float32
    np.testing.assert_array_equal(depth, (values / 1000).astype(np.float32))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["names no image"]),
        (f"{PAIR}\nkitchen_0028b/rgb_00046.png\n", ["line 2", "1 words", "RGB DEPTH"]),
        (f"{PAIR} 518.8 9\n", ["line 1", "4 words"]),
        (f"{PAIR} wide\n", ["line 1", "'wide'", "focal"]),
        (f"{PAIR} nan\n", ["line 1", "'nan'"]),
        (f"{PAIR} -1\n", ["line 1", "'-1'"]),
        (f"{PAIR}\n{PAIR}\n", ["line 2", "kitchen_0028b/rgb_00045", "line 1"]),
        (f"../{PAIR}\n", ["line 1", "'../kitchen_0028b/rgb_00045.png'", "out of the folder"]),
        (PAIR.replace(" ", " a/../../"), ["line 1", "out of the folder"]),
        ("\0 \0", ["line 1", "out of the folder"]),
        (
            "".join(f"a/rgb_{n}.png a/sync_depth_{n}.png\n" for n in range(4)),
            ["8 of 8 files", "a/rgb_0.png, a/sync_depth_0.png, a/rgb_1.png, …", "line 1"],
        ),
    ],
)
def test_wrong_lists_are_refused(folder: Path, text: str, words: list[str]) -> None:
    refused(lambda: listed(folder, text).splits, "files.txt", *words)


def test_list_that_is_no_text(folder: Path) -> None:
    (folder / "files.txt").write_bytes(b"\xff\xfe\x00")
    refused(lambda: PngFolder(folder, ["files.txt"]).splits, "files.txt", "not a text file")


def test_missing_list_and_folders(folder: Path) -> None:
    refused(lambda: PngFolder(folder, ["none.txt"]).splits, "none.txt", str(folder))
    refused(
        lambda: PngFolder(folder, ["train", "test"]).splits, "'train' or 'test'", "dataset.train"
    )
    (folder / "nyu_depth_v2_labeled.mat").write_bytes(b"")
    refused(lambda: PngFolder(folder, ["train"]).splits, "nyu_depth_v2_labeled.mat", "dataset.path")
    (folder / "train").mkdir()
    refused(lambda: PngFolder(folder, ["train"]).splits, "train", "no rgb_*.jpg")
    refused(lambda: PngFolder(folder, ["../x"]).splits, "'../x'", "out of the folder")


def test_image_in_both_splits(tmp_path: Path) -> None:
    reader = PngFolder(make_folder(tmp_path), ["train", "."])
    refused(lambda: reader.splits, "train/kitchen_0028b/rgb_00005", "to one split")


def test_colour_without_depth(folder: Path) -> None:
    (folder / "kitchen_0028b/sync_depth_00046.png").unlink()
    reader = PngFolder(folder, ["kitchen_0028b"])
    refused(lambda: reader.splits, "1 of 4 files", "kitchen_0028b/sync_depth_00046.png")


def test_two_colour_images_of_one_name(folder: Path) -> None:
    Image.new("RGB", (32, 24)).save(folder / "kitchen_0028b/rgb_00045.jpg")
    reader = PngFolder(folder, ["kitchen_0028b"])
    refused(lambda: reader.splits, "kitchen_0028b/rgb_00045", "each image once")


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_eight_bit_depth_is_refused(folder: Path, mode: str) -> None:
    Image.new(mode, (32, 24)).save(folder / "kitchen_0028b/sync_depth_00045.png")
    reader = listed(folder, PAIR)
    refused(lambda: reader.depth("kitchen_0028b/rgb_00045"), "00045.png", f"mode {mode}", "16-bit")


@pytest.mark.parametrize("name", ["rgb_00045.png", "sync_depth_00045.png"])
@pytest.mark.parametrize("kept", [0, 30, 0.6])
def test_truncated_file(folder: Path, name: str, kept: float) -> None:
    path = folder / "kitchen_0028b" / name
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content) if kept < 1 else kept)])
    reader = listed(folder, PAIR)
    read = reader.image if name.startswith("rgb") else reader.depth
    refused(lambda: read("kitchen_0028b/rgb_00045"), name, "damaged")


def test_size_mismatch(folder: Path) -> None:
    from bench.data.nyu import NyuParams, NyuV2

    Image.new("I;16", (32, 12)).save(folder / "kitchen_0028b/sync_depth_00045.png")
    data = NyuV2(NyuParams(path=folder, test="kitchen_0028b"))
    refused(lambda: data.read("kitchen_0028b/rgb_00045", "raw"), "24×32", "12×32", "rgb_00045.png")


def test_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    first = PngFolder(make_folder(tmp_path / "a"), ["train", "test"]).sha256
    again = make_folder(tmp_path / "b")
    assert PngFolder(again, ["train", "test"]).sha256 == first
    make_pair(again / "test/bathroom", "00045", 7)
    assert PngFolder(again, ["train", "test"]).sha256 != first


def test_fingerprint_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_folder(tmp_path)
    first = PngFolder(tmp_path, ["train", "test"]).sha256

    def unread(*_: object) -> str:
        pytest.fail("a file was read again")

    monkeypatch.setattr(PngFolder, "_sha256", unread)
    assert PngFolder(tmp_path, ["train", "test"]).sha256 == first
    monkeypatch.undo()
    changed = tmp_path / "test/bathroom/rgb_00005.png"
    Image.new("RGB", (32, 24)).save(changed)
    os.utime(changed, ns=(1, 1))
    assert PngFolder(tmp_path, ["train", "test"]).sha256 != first


def test_survives_pickling(tmp_path: Path) -> None:
    reader = PngFolder(make_folder(tmp_path), ["train", "test"])
    copy = pickle.loads(pickle.dumps(reader))
    assert copy.splits == reader.splits
