from __future__ import annotations

import itertools
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.data.base import Dataset, DatasetParams, Subset
from bench.data.batches import to_batch
from bench.data.segments import (
    KeptSegments,
    SamSettings,
    SegmentsChoice,
    find_segments,
    sam_key,
    segments_folder,
)
from bench.data.segments_making import ensure_segments, prepare_segments
from bench.encoders import sam as sam_module
from bench.encoders.sam import Segmenter, load_sam
from bench.errors import BlockedError, DataError
from bench.store import cache_root, data_root
from bench.types import DepthVariant, Sample, Window
from tests.unit.encoders.tiny_sam import GENEROUS, write_tiny_sam

SAM = SegmentsChoice("sam")


class Pictures(Dataset):
    """Noise; the last image is of another size. Segments 7 everywhere, if any."""

    name = "pictures"
    summary = "test data"

    def __init__(self, images: int = 4, masks: bool = True, content: str = "a") -> None:
        super().__init__(DatasetParams())
        self.images, self.masks, self.content = images, masks, content

    def fingerprint(self) -> str:
        return f"pictures {self.images} {self.content}"

    def has_instances(self) -> bool:
        return self.masks

    def splits(self) -> dict[str, tuple[str, ...]]:
        ids = tuple(f"scene/{index}.a" for index in range(self.images))
        return {"train": ids[:-2], "test": ids[-2:]}

    def read(self, image_id: str, variant: DepthVariant) -> Sample:
        index = int(image_id.removeprefix("scene/").removesuffix(".a"))
        size = (30, 40) if index < self.images - 1 else (40, 24)
        depth = np.ones(size, np.float32)
        return Sample(
            id=image_id,
            image=np.random.default_rng(index).integers(0, 256, (3, *size), dtype=np.uint8),
            depth=depth,
            valid=depth > 0,
            segments=np.full(size, 7, np.int32) if self.masks else None,
        )


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_tiny_sam(tmp_path / "tiny.pth")


@pytest.fixture
def no_sam(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("SAM was loaded")

    monkeypatch.setattr(sam_module, "load_sam", refuse)


@pytest.fixture
def segmented(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many images SAM was run on: one entry each."""
    calls: list[int] = []

    class Counting(Segmenter):
        def __call__(self, image: Any) -> Any:
            calls.append(len(calls))
            return super().__call__(image)

    monkeypatch.setattr(sam_module, "Segmenter", Counting)
    return calls


def prepare(dataset: Dataset, checkpoint: Path, **given: Any) -> KeptSegments:
    return prepare_segments(dataset, checkpoint, **{"settings": GENEROUS, **given})


def test_every_image_of_every_split_gets_the_segments_sam_finds(checkpoint: Path) -> None:
    dataset = Pictures()
    prepare(dataset, checkpoint)
    segment = Segmenter(load_sam(checkpoint, torch.device("cpu"))[0], GENEROUS)
    source = SAM.resolve(dataset)
    for role in ("train", "test"):
        plain = Subset.of_split(dataset, role)  # type: ignore[arg-type]
        subset = replace(plain, segments=source)
        for index in range(len(subset)):
            sample = subset[index]
            assert sample.segments is not None
            assert sample.segments.dtype == np.int32
            assert sample.segments.max() > 1
            np.testing.assert_array_equal(sample.segments, segment(sample.image))
            np.testing.assert_array_equal(plain[index].segments, 7)


def test_a_batch_holds_the_chosen_segments_cut_and_mirrored_with_the_image(
    checkpoint: Path,
) -> None:
    dataset = Pictures()
    prepare(dataset, checkpoint)
    sample = replace(Subset.of_split(dataset, "train"), segments=SAM.resolve(dataset))[0]
    window = Window(3, 5, 10, 20, 30, 40, mirrored=True)
    batch = to_batch([sample], window, torch.device("cpu"), with_depth=False)
    assert batch.segments is not None
    assert sample.segments is not None
    np.testing.assert_array_equal(batch.segments[0, 0], sample.segments[3:13, 5:25][:, ::-1])


def test_segments_are_made_once(
    checkpoint: Path, segmented: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = prepare(Pictures(), checkpoint)
    assert len(segmented) == 4
    assert prepare(Pictures(), checkpoint) == kept
    assert len(segmented) == 4
    assert kept.images == 4
    assert [path.name for path in (cache_root() / "segments").iterdir()] == [kept.folder.name]


def test_other_data_checkpoint_or_settings_are_kept_apart(checkpoint: Path, tmp_path: Path) -> None:
    other = write_tiny_sam(tmp_path / "other.pth", seed=1)
    coarse = GENEROUS.model_copy(update={"points_per_side": 2})
    sets = [
        prepare(Pictures(), checkpoint),
        prepare(Pictures(content="b"), checkpoint),
        prepare(Pictures(), other),
        prepare(Pictures(), checkpoint, settings=coarse),
    ]
    assert len({kept.folder for kept in sets}) == 4
    assert len({kept.key for kept in sets}) == 3
    found = find_segments(Pictures().fingerprint())
    assert {kept.key for kept in found} == {sets[0].key, sets[2].key, sets[3].key}
    assert find_segments("pictures") == []


def test_the_same_checkpoint_elsewhere_is_the_same_segments(
    checkpoint: Path, tmp_path: Path, no_sam: None
) -> None:
    dataset = Pictures()
    copy = tmp_path / "elsewhere" / "sam_vit_b.pth"
    copy.parent.mkdir()
    copy.write_bytes(checkpoint.read_bytes())
    keys = {SegmentsChoice("sam", path).resolve(dataset).key for path in (checkpoint, copy)}
    assert len(keys) == 1
    assert keys != {SegmentsChoice("sam", copy, GENEROUS).resolve(dataset).key}


def test_making_says_how_far_it_is(checkpoint: Path) -> None:
    lines: list[str] = []
    prepare(Pictures(), checkpoint, report=lines.append)
    assert lines[0] == "SAM segments: 0 of 4 images made already"
    assert lines[-1].startswith("SAM segments: 4 of 4 images")


def stop_after(images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    count = itertools.count(1)
    call = Segmenter.__call__

    def limited(self: Segmenter, image: Any) -> Any:
        if next(count) > images:
            raise KeyboardInterrupt
        return call(self, image)

    monkeypatch.setattr(Segmenter, "__call__", limited)


def test_an_interrupted_making_goes_on_where_it_was(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = Pictures()
    with monkeypatch.context() as patch:
        stop_after(3, patch)
        with pytest.raises(KeyboardInterrupt):
            prepare(dataset, checkpoint)
    assert find_segments(dataset.fingerprint()) == []
    lines: list[str] = []
    with monkeypatch.context() as patch:
        stop_after(1, patch)
        kept = prepare(dataset, checkpoint, report=lines.append)
    assert lines[0] == "SAM segments: 3 of 4 images made already"
    assert find_segments(dataset.fingerprint()) == [kept]


KILLED = """
import os, signal, sys
from pathlib import Path
from bench.data.segments_making import prepare_segments
from bench.encoders.sam import Segmenter
from tests.unit.data.test_segments import Pictures
from tests.unit.encoders.tiny_sam import GENEROUS

call, calls = Segmenter.__call__, []
def limited(self, image):
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    calls.append(1)
    return call(self, image)
Segmenter.__call__ = limited
prepare_segments(Pictures(), Path(sys.argv[1]), settings=GENEROUS)
"""


@pytest.mark.slow
def test_what_a_killed_process_made_is_taken_over(checkpoint: Path, segmented: list[int]) -> None:
    root = Path(__file__).parents[3]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(checkpoint)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    prepare(Pictures(), checkpoint)
    assert len(segmented) == 2


def test_a_damaged_leftover_is_made_again(
    checkpoint: Path, segmented: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("bench.data.segments_making.publish_folder", _full_disk)
        with pytest.raises(DataError, match="disk full"):
            prepare(Pictures(), checkpoint)
    one, two, *_ = sorted((cache_root() / "segments").rglob("*.npz"))
    one.write_bytes(one.read_bytes()[:-20])
    two.write_bytes(b"")
    prepare(Pictures(), checkpoint)
    assert len(segmented) == 4 + 2


def _full_disk(path: Path) -> None:
    raise DataError("disk full")


def test_a_damaged_set_is_not_taken_and_made_again(checkpoint: Path, segmented: list[int]) -> None:
    kept = prepare(Pictures(), checkpoint)
    (kept.folder / "about.json").write_text("{}")
    assert find_segments(Pictures().fingerprint()) == []
    assert prepare(Pictures(), checkpoint).key == kept.key
    assert len(segmented) == 8
    assert SAM.resolve(Pictures()).availability().state == "ready"


def test_segments_of_an_older_maker_are_not_taken(checkpoint: Path) -> None:
    kept = prepare(Pictures(), checkpoint)
    about = json.loads((kept.folder / "about.json").read_text())
    (kept.folder / "about.json").write_text(json.dumps({**about, "version": 0}))
    assert find_segments(Pictures().fingerprint()) == []


def test_without_checkpoint_and_segments_it_is_said_what_to_do(no_sam: None) -> None:
    source = SAM.resolve(Pictures())
    found = source.availability()
    assert found.state == "missing"
    for told in (
        "data set 'pictures'",
        "sam_vit_b_01ec64.pth",
        "`bench data prepare SUITE --segments sam --checkpoint FILE`",
        str(data_root() / "weights"),
    ):
        assert told in found.reason
    assert "\n" not in found.reason
    assert source.key == SAM.resolve(Pictures()).key
    subset = replace(Subset.of_split(Pictures(), "train"), segments=source)
    with pytest.raises(BlockedError, match="bench data prepare"):
        subset[0]
    with pytest.raises(BlockedError, match="bench data prepare"):
        ensure_segments(source, Pictures(), "cpu")


def test_a_checkpoint_that_is_not_there_is_named(tmp_path: Path) -> None:
    source = SegmentsChoice("sam", tmp_path / "no.pth").resolve(Pictures())
    assert source.availability().state == "missing"
    assert str(tmp_path / "no.pth") in source.availability().reason
    with pytest.raises(DataError, match=r"no\.pth' does not exist"):
        prepare_segments(Pictures(), tmp_path / "no.pth")
    with pytest.raises(DataError, match="is not a file"):
        prepare_segments(Pictures(), tmp_path)


def test_with_a_checkpoint_they_are_made_first_under_the_key_of_the_plan(
    checkpoint: Path,
) -> None:
    dataset = Pictures()
    source = SegmentsChoice("sam", checkpoint, GENEROUS).resolve(dataset)
    assert source.availability().state == "make"
    assert "tiny.pth" in source.availability().reason
    subset = replace(Subset.of_split(dataset, "train"), segments=source)
    with pytest.raises(BlockedError, match="make them with"):
        subset[0]
    ensure_segments(source, dataset, "cpu")
    assert source.availability().state == "ready"
    segments = subset[0].segments
    assert segments is not None
    assert segments.max() > 1
    again = SegmentsChoice("sam", checkpoint).resolve(dataset)
    assert again.key == source.key
    assert SAM.resolve(dataset).key == source.key


def test_ensuring_what_is_there_loads_nothing(checkpoint: Path, no_sam: None) -> None:
    ensure_segments(SegmentsChoice("instances").resolve(Pictures()), Pictures(), "cpu")


def test_the_newest_kept_segments_are_used_where_no_checkpoint_is_named(
    checkpoint: Path, tmp_path: Path
) -> None:
    dataset = Pictures()
    other = write_tiny_sam(tmp_path / "other.pth", seed=1)
    first = prepare(dataset, checkpoint)
    second = prepare(dataset, other)
    assert SegmentsChoice("sam", checkpoint).resolve(dataset).key == first.key
    checkpoint.unlink()
    assert SAM.resolve(dataset).key == second.key
    assert SegmentsChoice("sam", other).resolve(dataset).key == second.key
    assert [kept.key for kept in find_segments(dataset.fingerprint())] == [second.key, first.key]
    assert SegmentsChoice("sam", None, SamSettings()).resolve(dataset).problem


def test_a_checkpoint_in_the_weights_folder_is_found_and_held_against_its_hash(
    no_sam: None,
) -> None:
    write_tiny_sam(data_root() / "weights" / "sam_vit_b_01ec64.pth")
    found = SAM.resolve(Pictures()).availability()
    assert found.state == "missing"
    assert "01ec64" in found.reason
    assert "not the published checkpoint" in found.reason


def test_a_genuine_checkpoint_in_the_weights_folder_will_be_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write_tiny_sam(data_root() / "weights" / "sam_vit_b_01ec64.pth")
    sha256 = f"01ec64{'0' * 58}"
    monkeypatch.setattr("bench.data.segments.file_sha256", lambda _: sha256)
    source = SAM.resolve(Pictures())
    assert source.checkpoint is not None
    assert source.checkpoint.name == path.name
    assert source.key == sam_key(sha256, SamSettings())
    assert source.availability().state == "make"


def test_instances_are_the_data_sets_own() -> None:
    source = SegmentsChoice("instances").resolve(Pictures())
    assert source.availability().state == "ready"
    assert "oracle" in source.title
    assert source.record() is None
    subset = replace(Subset.of_split(Pictures(), "train"), segments=source)
    np.testing.assert_array_equal(subset[0].segments, 7)


def test_data_without_instances_is_named() -> None:
    source = SegmentsChoice("instances").resolve(Pictures(masks=False))
    assert source.availability().state == "missing"
    assert "'pictures' has no instance masks" in source.availability().reason


def test_data_that_turns_out_to_have_no_instances_is_named() -> None:
    source = SegmentsChoice("instances").resolve(Pictures())
    with pytest.raises(DataError, match="'pictures' has no instance masks"):
        replace(Subset.of_split(Pictures(masks=False), "train"), segments=source)[0]


def test_a_record_names_the_checkpoint_and_owns_up_to_what_it_is(checkpoint: Path) -> None:
    kept = prepare(Pictures(), checkpoint)
    source = SAM.resolve(Pictures())
    assert source.record() == {
        "name": "segment-anything custom (tiny.pth)",
        "origin": "file",
        "sha256": kept.checkpoint_sha256,
    }
    assert source.title == "SAM custom"


def test_a_subset_stays_small_to_send(checkpoint: Path) -> None:
    dataset = Pictures()
    prepare(dataset, checkpoint)
    subset = replace(Subset.of_split(dataset, "train"), segments=SAM.resolve(dataset))
    sent = pickle.dumps(subset)
    assert len(sent) < 3000
    segments = pickle.loads(sent)[0].segments
    assert segments is not None
    np.testing.assert_array_equal(segments, subset[0].segments)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def resize(path: Path) -> None:
    import h5py

    with h5py.File(path, "a") as file:
        for name in list(file):
            del file[name]
            file[name] = np.zeros((3, 3), np.uint16)


def empty(path: Path) -> None:
    import h5py

    h5py.File(path, "w").close()


@pytest.mark.parametrize("damage", [truncate, resize, empty])
def test_damaged_segments_are_named(checkpoint: Path, damage: Callable[[Path], None]) -> None:
    kept = prepare(Pictures(), checkpoint)
    subset = replace(Subset.of_split(Pictures(), "train"), segments=SAM.resolve(Pictures()))
    damage(kept.folder / "segments.h5")
    with pytest.raises(DataError, match=r"segments\.h5.*'scene/0\.a'.*delete its folder") as caught:
        subset[0]
    assert "\n" not in str(caught.value)


def test_folder_names_tell_data_sets_apart_that_begin_alike() -> None:
    one, two = (segments_folder(f"{'0' * 40}{end}", "sam/abc") for end in "ab")
    assert one != two


def test_planning_needs_no_torch() -> None:
    root = Path(__file__).parents[3]
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from bench.data.segments import SegmentsChoice\n"
            "from bench.data.rooms import Rooms, RoomsParams\n"
            "SegmentsChoice('sam').resolve(Rooms(RoomsParams())).availability()\n"
            "print({'torch', 'h5py', 'scipy', 'segment_anything'} & set(sys.modules))",
        ],
        cwd=root,
        capture_output=True,
        check=True,
        text=True,
    )
    assert told.stdout.strip() == "set()"
