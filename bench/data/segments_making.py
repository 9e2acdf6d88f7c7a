"""Making SAM segments: once for a data set, resumable after any end, published whole.

Label maps are written one by one beside the place they are meant for; what an interrupted run
made, the next one takes over. `bench.data.segments` reads what comes out.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import time
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.base import Dataset
from bench.data.hashes import file_sha256
from bench.data.segments import (
    ABOUT_NAME,
    MAKER_VERSION,
    MAPS_NAME,
    KeptSegments,
    SamSettings,
    SegmentSource,
    map_name,
    read_about,
    sam_key,
    segments_folder,
)
from bench.errors import BlockedError, DataError
from bench.store import cache_root, publish_folder, write_atomically

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Report = Callable[[str], None]
Segment = Callable[["npt.NDArray[np.uint8]"], "npt.NDArray[np.int32]"]

REPORT_SECONDS = 10.0


def ensure_segments(
    source: SegmentSource, dataset: Dataset, device: str, report: Report = lambda _: None
) -> None:
    """Make the segments a cell needs, unless they are there.

    Args:
        source: What the cell's choice resolved to.
        dataset: Whose images.
        device: Where SAM runs (``cpu``, ``cuda:0``).
        report: Called with a line now and then.

    Raises:
        BlockedError: They cannot be had here; it says what to do.
        BenchError: As `prepare_segments`.
    """
    found = source.availability()
    if found.state == "missing":
        raise BlockedError(found.reason)
    if found.state == "make" and source.checkpoint is not None and source.settings is not None:
        prepare_segments(
            dataset, source.checkpoint, device=device, report=report, settings=source.settings
        )


def prepare_segments(
    dataset: Dataset,
    checkpoint: Path,
    *,
    device: str = "cpu",
    report: Report = lambda _: None,
    settings: SamSettings | None = None,
) -> KeptSegments:
    """Make the SAM segments of every image of a data set, unless they are kept already.

    Args:
        dataset: Whose images; all its splits are covered.
        checkpoint: ``sam_vit_b_01ec64.pth`` or any SAM in its layout.
        device: Where SAM runs.
        report: Called with a line now and then.
        settings: The generator's; its own defaults if None.

    Returns:
        What is kept, and where.

    Raises:
        DataError: The data set or the checkpoint cannot be read.
        MethodError: The checkpoint holds other tensors than its architecture has.
        StoreError: The store cannot be written.
    """
    import filelock

    if not checkpoint.is_file():
        what = "is not a file" if checkpoint.exists() else "does not exist"
        raise DataError(f"SAM checkpoint '{checkpoint}' {what}; give the path of one")
    settings = settings or SamSettings()
    key = sam_key(file_sha256(checkpoint), settings)
    folder = segments_folder(dataset.fingerprint(), key)
    kept = read_about(folder)
    if kept is not None:
        return kept
    locks = cache_root() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(locks / f"segments-{folder.name}.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        report("SAM segments: waiting for another process that makes them")
        lock.acquire()
    try:
        making = _Making(dataset, checkpoint, settings, folder, device, report)
        return read_about(folder) or making.run()
    finally:
        lock.release()


@dataclass(frozen=True)
class _Making:
    """One data set on its way to kept segments."""

    dataset: Dataset
    checkpoint: Path
    settings: SamSettings
    folder: Path
    device: str
    report: Report

    def run(self) -> KeptSegments:
        import torch

        from bench.encoders.sam import Segmenter, load_sam

        self.dataset.prepare(self.report)
        ids = list(dict.fromkeys(chain.from_iterable(self.dataset.splits().values())))
        sam, architecture = load_sam(self.checkpoint, torch.device(self.device))
        self._make(ids, Segmenter(sam, self.settings))
        kept = KeptSegments(
            version=MAKER_VERSION,
            fingerprint=self.dataset.fingerprint(),
            dataset=self.dataset.name,
            checkpoint=self.checkpoint.name,
            checkpoint_sha256=file_sha256(self.checkpoint),
            architecture=architecture.name,
            settings=self.settings,
            images=len(ids),
            device=self.device,
            made_at=datetime.now(UTC).isoformat(timespec="microseconds"),
        )
        self._publish(ids, kept)
        return kept

    def _make(self, ids: Sequence[str], segment: Segment) -> None:
        missing = [image_id for image_id in ids if _load(self._aside(image_id)) is None]
        progress = _Progress(len(ids), len(ids) - len(missing), self.report)
        variant = self.dataset.variants()[0]
        for image_id in missing:
            labels = segment(self.dataset.read(image_id, variant).image)
            _save(self._aside(image_id), labels)
            progress.advance()

    def _publish(self, ids: Sequence[str], kept: KeptSegments) -> None:
        import h5py

        # What stands there was found not to be whole.
        shutil.rmtree(self.folder, ignore_errors=True)
        with publish_folder(self.folder) as aside:
            with h5py.File(aside / MAPS_NAME, "w") as file:
                for image_id in ids:
                    labels = _load(self._aside(image_id))
                    assert labels is not None, image_id
                    file.create_dataset(
                        map_name(image_id), data=labels, compression="gzip", shuffle=True
                    )
            (aside / ABOUT_NAME).write_text(kept.model_dump_json(indent=2))
        shutil.rmtree(self._checkpoints, ignore_errors=True)

    @property
    def _checkpoints(self) -> Path:
        return self.folder.with_suffix(".checkpoints")

    def _aside(self, image_id: str) -> Path:
        return self._checkpoints / f"{hashlib.sha256(image_id.encode()).hexdigest()[:32]}.npz"


def _save(path: Path, labels: npt.NDArray[np.int32]) -> None:
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, labels=labels.astype(np.uint16))
    write_atomically(path, buffer.getvalue())


def _load(path: Path) -> npt.NDArray[np.uint16] | None:
    """The label map an earlier run left; None where there is none, or not a whole one."""
    import numpy as np

    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as content:
            labels: npt.NDArray[np.uint16] = content["labels"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    return labels


class _Progress:
    """Says how far it is: at the start, now and then, at the end."""

    def __init__(self, total: int, done: int, report: Report) -> None:
        self._total = total
        self._done = self._before = done
        self._report = report
        self._begin = self._last = time.monotonic()
        report(f"SAM segments: {done} of {total} images made already")

    def advance(self) -> None:
        self._done += 1
        now = time.monotonic()
        if now - self._last < REPORT_SECONDS and self._done < self._total:
            return
        self._last = now
        seconds = (now - self._begin) / (self._done - self._before)
        left = seconds * (self._total - self._done)
        self._report(
            f"SAM segments: {self._done} of {self._total} images, {seconds:.2g} s an image, "
            f"about {left / 60:.0f} min left"
        )
