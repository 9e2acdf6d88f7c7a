"""From samples on disk to batches on a device, reading ahead while the device computes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, TypeVar

from bench.data.base import Subset
from bench.errors import DataError
from bench.types import Batch, Sample, Window

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import Tensor

T = TypeVar("T")


def to_batch(
    samples: Sequence[Sample], window: Window, device: torch.device, *, with_depth: bool
) -> Batch:
    """Cut a window out of samples of one size and put them on a device.

    Args:
        samples: B samples whose frames are of the window's frame size.
        window: Which part of the frame; mirrored left to right if it says so.
        device: Where the tensors go.
        with_depth: Whether the batch carries ground truth (`depth`, `valid`).

    Returns:
        The batch; `segments` and `intrinsics` are None unless every sample has them.

    Raises:
        DataError: A sample is of another size than the window's frame.
    """
    for sample in samples:
        if sample.image.shape[1:] != (window.frame_height, window.frame_width):
            height, width = sample.image.shape[1:]
            raise DataError(
                f"image '{sample.id}' is {height}×{width} pixels, but the window is of a "
                f"{window.frame_height}×{window.frame_width} frame; batch images of one size"
            )
    cut = _Cut(window, device)
    depth, valid = [s.depth[None] for s in samples], [s.valid[None] for s in samples]
    segments = [s.segments for s in samples if s.segments is not None]
    cameras = [s.intrinsics for s in samples if s.intrinsics is not None]
    return Batch(
        image=cut([s.image for s in samples]).float().div_(255),
        window=window,
        ids=tuple(s.id for s in samples),
        depth=cut(depth) if with_depth else None,
        valid=cut(valid) if with_depth else None,
        segments=cut([s[None] for s in segments]).long() if len(segments) == len(samples) else None,
        intrinsics=_cameras(cameras, window, device) if len(cameras) == len(samples) else None,
    )


class _Cut:
    """Cuts planes (C, H, W) to the window and stacks them on the device: (B, C, h, w)."""

    def __init__(self, window: Window, device: torch.device) -> None:
        step = -1 if window.mirrored else 1
        self._region = (slice(None), window.rows, window.columns)
        self._order = (Ellipsis, slice(None, None, step))
        self._device = device

    def __call__(self, planes: Sequence[npt.NDArray[np.generic]]) -> Tensor:
        import numpy as np
        import torch

        stacked = np.stack([plane[self._region][self._order] for plane in planes])
        return torch.from_numpy(stacked).to(self._device)


def _cameras(
    cameras: Sequence[npt.NDArray[np.float64]], window: Window, device: torch.device
) -> Tensor:
    """Camera matrices (B, 3, 3) float32 of the view: the principal point moves with the window."""
    import numpy as np
    import torch

    view = np.stack(cameras)
    view[:, 0, 2] -= window.left
    view[:, 1, 2] -= window.top
    if window.mirrored:
        view[:, 0, 2] = window.width - 1 - view[:, 0, 2]
    return torch.from_numpy(view.astype(np.float32)).to(device)


def mirror_batch(batch: Batch) -> Batch:
    """Return the batch as seen in a mirror: every tensor and the window; twice is the batch again.

    The principal point of `intrinsics` goes from column cx to ``w - 1 - cx``. What a subclass adds
    to the batch is kept as it is.
    """
    intrinsics = batch.intrinsics
    if intrinsics is not None:
        intrinsics = intrinsics.clone()
        intrinsics[:, 0, 2] = batch.image.shape[-1] - 1 - intrinsics[:, 0, 2]
    return replace(
        batch,
        image=batch.image.flip(-1),
        window=batch.window.mirror(),
        depth=_flipped(batch.depth),
        valid=_flipped(batch.valid),
        segments=_flipped(batch.segments),
        intrinsics=intrinsics,
    )


def _flipped(plane: Tensor | None) -> Tensor | None:
    return None if plane is None else plane.flip(-1)


def sample_batches(subset: Subset, batch_size: int) -> Iterator[list[Sample]]:
    """Read a subset in order, up to `batch_size` consecutive images of one size at a time.

    The next batch is read in the background while the caller works on this one. Memory does not
    grow with the number of images.

    Raises:
        DataError: An image cannot be read.
    """
    return prefetch(_grouped((subset[index] for index in range(len(subset))), batch_size))


def _grouped(samples: Iterable[Sample], batch_size: int) -> Iterator[list[Sample]]:
    group: list[Sample] = []
    for sample in samples:
        if group and sample.image.shape != group[0].image.shape:
            yield group
            group = []
        group.append(sample)
        if len(group) == batch_size:
            yield group
            group = []
    if group:
        yield group


def prefetch(items: Iterable[T], depth: int = 1) -> Iterator[T]:
    """Yield the items, taking up to `depth` of them ahead in a background thread.

    An error in the iterable is raised here, after the items before it. The thread ends with the
    iterator: when it is exhausted, closed or dropped.

    Args:
        items: What to read; iterated in the background thread only.
        depth: The most items held ready, at least 1.
    """
    ahead = _Ahead(items, depth)
    thread = threading.Thread(target=ahead.run, name="bench-prefetch", daemon=True)
    thread.start()
    try:
        yield from ahead
    finally:
        ahead.stop()
        thread.join()


class _Ahead(Generic[T]):
    """A bounded hand-over from one thread to another."""

    def __init__(self, items: Iterable[T], depth: int) -> None:
        self._items = items
        self._depth = depth
        self._ready: deque[T] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._stopped = False
        self._error: BaseException | None = None

    def run(self) -> None:
        """Take items while there is room for them."""
        try:
            iterator = iter(self._items)
            while self._await_room():
                try:
                    item = next(iterator)
                except StopIteration:
                    break
                with self._changed:
                    self._ready.append(item)
                    self._changed.notify_all()
                del item
        except BaseException as error:  # raised again in the thread that takes the items
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ready or self._ended)
                if not self._ready:
                    break
                item = self._ready.popleft()
                self._changed.notify_all()
            yield item
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Let the thread end after the item it is at."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _await_room(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or len(self._ready) < self._depth)
            return not self._stopped
