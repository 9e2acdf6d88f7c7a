from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from bench.data.base import Dataset, DatasetParams, Subset
from bench.data.batches import mirror_batch, prefetch, sample_batches, to_batch
from bench.data.nyu import nyu_intrinsics
from bench.errors import DataError
from bench.types import DepthVariant, Sample, Window
from tests.unit.data.making import colour, metres

CPU = torch.device("cpu")


def sample(index: int, height: int = 6, width: int = 8, *, whole: bool = True) -> Sample:
    depth = metres(index, height, width)
    depth[0, 0] = 0
    return Sample(
        id=f"{index:04d}",
        image=colour(index, height, width),
        depth=depth,
        valid=depth > 0,
        segments=np.arange(height * width, dtype=np.int32).reshape(height, width)
        if whole
        else None,
        intrinsics=nyu_intrinsics(height, width) if whole else None,
    )


class Many(Dataset):
    """Images of given sizes; counts how many were read, and can fail at one."""

    name = "many"
    summary = "for tests"

    def __init__(self, sizes: list[tuple[int, int]], fails_at: int = -1) -> None:
        super().__init__(DatasetParams())
        self.sizes, self.fails_at, self.read_count = sizes, fails_at, 0

    def fingerprint(self) -> str:
        return "0" * 64

    def splits(self) -> dict[str, tuple[str, ...]]:
        return {"test": tuple(str(index) for index in range(len(self.sizes)))}

    def read(self, image_id: str, variant: DepthVariant) -> Sample:
        index = int(image_id)
        if index == self.fails_at:
            raise DataError(f"cannot read image {index}")
        self.read_count += 1
        return sample(index, *self.sizes[index])


def settled(condition: Callable[[], bool]) -> bool:
    """Wait up to two seconds for a condition."""
    limit = time.monotonic() + 2
    while not condition() and time.monotonic() < limit:
        time.sleep(0.005)
    return condition()


def readers() -> int:
    return sum(thread.name == "bench-prefetch" for thread in threading.enumerate())


def test_whole_frames() -> None:
    samples = [sample(0), sample(1)]
    batch = to_batch(samples, Window.whole(6, 8), CPU, with_depth=True)
    assert batch.ids == ("0000", "0001")
    assert batch.image.dtype == torch.float32
    assert batch.image.shape == (2, 3, 6, 8)
    np.testing.assert_allclose(batch.image[1], samples[1].image / np.float32(255), rtol=1e-7)
    assert batch.depth is not None
    assert batch.valid is not None
    assert batch.segments is not None
    np.testing.assert_array_equal(batch.depth[0, 0], samples[0].depth)
    np.testing.assert_array_equal(batch.valid[1, 0], samples[1].valid)
    assert (batch.valid.dtype, batch.segments.dtype) == (torch.bool, torch.int64)


def test_window_and_camera_move_together() -> None:
    """Row 2, column 3 of the frame is the view's first pixel."""
    batch = to_batch([sample(5)], Window(2, 3, 3, 4, 6, 8), CPU, with_depth=True)
    assert batch.image.shape == (1, 3, 3, 4)
    assert (batch.image[0, :, 0, 0] * 255).round().tolist() == [2, 3, 5]
    assert batch.segments is not None
    assert batch.segments[0, 0].tolist() == [[19, 20, 21, 22], [27, 28, 29, 30], [35, 36, 37, 38]]
    assert batch.intrinsics is not None
    expected = nyu_intrinsics(6, 8) - [[0, 0, 3], [0, 0, 2], [0, 0, 0]]
    np.testing.assert_allclose(batch.intrinsics[0], expected, rtol=1e-6)
    assert batch.intrinsics.dtype == torch.float32


def test_mirrored_window_projects_to_the_mirrored_pixel() -> None:
    window = Window(2, 3, 3, 4, 6, 8)
    plain = to_batch([sample(5)], window, CPU, with_depth=True)
    mirrored = to_batch([sample(5)], window.mirror(), CPU, with_depth=True)
    assert (mirrored.image[0, :, 0, 0] * 255).round().tolist() == [2, 6, 5]
    assert plain.intrinsics is not None
    assert mirrored.intrinsics is not None
    point = torch.tensor([0.3, -0.2, 1.0])
    across = (plain.intrinsics[0] @ point)[0]
    back = (mirrored.intrinsics[0] @ (point * torch.tensor([-1.0, 1, 1])))[0]
    assert back == pytest.approx(3 - across)


def test_mirror_batch_is_the_mirrored_window() -> None:
    window = Window(2, 3, 3, 4, 6, 8)
    plain = to_batch([sample(5)], window, CPU, with_depth=True)
    wanted = to_batch([sample(5)], window.mirror(), CPU, with_depth=True)
    for made, expected in ((mirror_batch(plain), wanted), (mirror_batch(wanted), plain)):
        assert (made.window, made.ids) == (expected.window, expected.ids)
        for name in ("image", "depth", "valid", "segments", "intrinsics"):
            torch.testing.assert_close(getattr(made, name), getattr(expected, name))
    bare = mirror_batch(to_batch([sample(5, whole=False)], window, CPU, with_depth=False))
    assert (bare.depth, bare.valid, bare.segments, bare.intrinsics) == (None, None, None, None)


def test_parts_one_sample_lacks_are_left_out() -> None:
    samples = [sample(0), sample(1, whole=False)]
    batch = to_batch(samples, Window.whole(6, 8), CPU, with_depth=False)
    assert (batch.segments, batch.intrinsics, batch.depth, batch.valid) == (None,) * 4


def test_batch_does_not_share_memory_with_its_samples() -> None:
    one = sample(0)
    batch = to_batch([one], Window.whole(6, 8), CPU, with_depth=True)
    assert batch.depth is not None
    batch.depth.zero_()
    assert one.depth.max() > 0


def test_other_frame_size_is_refused() -> None:
    with pytest.raises(DataError, match=r"image '0001' is 8×6 .* 6×8"):
        to_batch([sample(0), sample(1, 8, 6)], Window.whole(6, 8), CPU, with_depth=False)


def test_images_of_one_size_are_grouped_in_order() -> None:
    sizes = [(6, 8)] * 5 + [(4, 4)] * 2 + [(6, 8)]
    subset = Subset.of_split(Many(sizes), "test")
    groups = [[item.id for item in group] for group in sample_batches(subset, 3)]
    assert groups == [
        ["0000", "0001", "0002"],
        ["0003", "0004"],
        ["0005", "0006"],
        ["0007"],
    ]


def test_reading_stays_one_batch_ahead() -> None:
    data = Many([(6, 8)] * 40)
    batches = sample_batches(Subset.of_split(data, "test"), 4)
    next(batches)
    assert settled(lambda: data.read_count == 8)
    time.sleep(0.05)
    assert data.read_count == 8
    assert isinstance(batches, Iterator)
    batches.close()  # type: ignore[attr-defined]
    assert readers() == 0


def test_error_comes_after_the_batches_before_it() -> None:
    batches = sample_batches(Subset.of_split(Many([(6, 8)] * 9, fails_at=5), "test"), 2)
    assert len([next(batches), next(batches)]) == 2
    with pytest.raises(DataError, match="cannot read image 5"):
        next(batches)
    assert readers() == 0


def test_prefetch_gives_everything_in_order() -> None:
    assert list(prefetch(range(100), 3)) == list(range(100))
    assert list(prefetch([])) == []
    assert readers() == 0


@pytest.mark.parametrize("depth", [1, 4])
def test_prefetch_is_bounded(depth: int) -> None:
    taken = 0

    def count() -> Iterator[int]:
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield number

    items = prefetch(count(), depth)
    next(items)
    assert settled(lambda: taken == 1 + depth)
    time.sleep(0.05)
    assert taken == 1 + depth
    del items
    assert settled(lambda: readers() == 0)


def test_prefetch_overlaps_reading_with_work() -> None:
    def slow() -> Iterator[int]:
        for number in range(10):
            time.sleep(0.02)
            yield number

    start = time.perf_counter()
    for _ in prefetch(slow()):
        time.sleep(0.02)
    assert time.perf_counter() - start < 0.36
