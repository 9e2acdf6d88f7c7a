"""NYU Depth v2 extracted into a folder: JPEG or PNG colour, 16-bit PNG depth in millimetres.

    SCENE/rgb_00045.jpg
    SCENE/sync_depth_00045.png      uint16 millimetres as the sensor measured them, 0 = missing

A split is a subfolder that is searched for images, or a list file. Each of its lines is
``RGB DEPTH [FOCAL]``: paths under the folder (a leading ``/`` is allowed), and ``None`` for a depth
that does not exist.

Source: the layout and lists of J. H. Lee et al., "From Big to Small: Multi-Scale Local Planar
Guidance for Monocular Depth Estimation" (BTS), 2019, which most later codes read.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import WrapValidator

from bench.errors import DataError
from bench.paths import Located
from bench.store import cache_root, write_atomically

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

COLOUR_SUFFIXES = (".jpg", ".png")
_NAMED = 3
"""How many missing files an error names."""

SplitName = Annotated[
    str, WrapValidator(lambda value, check: value if isinstance(value, Located) else check(value))
]
"""A split's name; keeps where it was written, which is where a list file is also looked for."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A colour image and its depth.

    Attributes:
        colour: Path under the folder.
        depth: Path under the folder.
        focal: Focal length in pixels as the list states it; None where it does not.
        where: The list and line that named it, or the folder it was found in.
    """

    colour: PurePosixPath
    depth: PurePosixPath
    focal: float | None
    where: str

    @property
    def id(self) -> str:
        """The image's id: the colour image's path without its suffix."""
        return str(self.colour.with_suffix(""))


class PngFolder:
    """Reads the extracted layout. Looks at the folder on first use; safe to pickle.

    Every method raises `DataError` where files are missing, unreadable or of another layout.
    """

    def __init__(self, root: Path, splits: Iterable[str]) -> None:
        """Name the folder and its splits.

        Args:
            root: The folder.
            splits: Names ending in ``.txt`` are list files, others are subfolders.
        """
        self.root = root
        self._names = tuple(dict.fromkeys(splits))

    @cached_property
    def splits(self) -> dict[str, tuple[str, ...]]:
        """Image ids by split name. A subfolder that does not exist makes no split."""
        return {name: tuple(pair.id for pair in pairs) for name, pairs in self._pairs.items()}

    def pair(self, image_id: str) -> Pair:
        """Return the files of an image."""
        if image_id not in self._by_id:
            raise DataError(f"'{self.root}' has no image '{image_id}'")
        return self._by_id[image_id]

    def image(self, image_id: str) -> npt.NDArray[np.uint8]:
        """Return an image, (3, H, W) uint8 RGB."""
        import numpy as np

        pixels = _decode(self.root / self.pair(image_id).colour, "RGB")
        return np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.uint8)

    def depth(self, image_id: str) -> npt.NDArray[np.float32]:
        """Return an image's depth, (H, W) float32 metres; 0 where missing."""
        import numpy as np

        millimetres = _decode(self.root / self.pair(image_id).depth, "16-bit")
        return millimetres.astype(np.float32) / np.float32(1000)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 (hex) of the splits and all their files' contents.

        Remembered by the files' paths, sizes and times, all in one: there may be 50,000 of them.
        """
        listing = {name: list(map(self._identity, pairs)) for name, pairs in self._pairs.items()}
        memo = cache_root() / "hashes" / f"{_digest([str(self.root.resolve()), listing])}.json"
        try:
            return str(json.loads(memo.read_bytes())["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        sha256 = _digest([list(map(self._content, pairs)) for pairs in self._pairs.values()])
        write_atomically(memo, json.dumps({"sha256": sha256}).encode())
        return sha256

    @cached_property
    def _by_id(self) -> dict[str, Pair]:
        return {pair.id: pair for pairs in self._pairs.values() for pair in pairs}

    @cached_property
    def _pairs(self) -> dict[str, list[Pair]]:
        found = {name: self._split(name) for name in self._names}
        pairs = {name: split for name, split in found.items() if split is not None}
        if not pairs:
            raise DataError(
                f"'{self.root}' has no subfolder {' or '.join(map(repr, self._names))}; set "
                "dataset.train and dataset.test to subfolders or list files (.txt)"
                + self._mat_hint()
            )
        for split in pairs.values():
            self._check_files(split)
        _check_unique(pairs)
        return pairs

    def _mat_hint(self) -> str:
        mats = sorted(self.root.glob("*labeled.mat"))
        return f", or dataset.path to '{mats[0]}'" if mats else ""

    def _split(self, name: str) -> list[Pair] | None:
        if name.endswith(".txt"):
            path = self._list_file(name)
            pairs = list(_parse_list(path))
            if not pairs:
                raise DataError(f"list '{path}' names no image with depth")
            return pairs
        _under_root(name, f"dataset: split '{name}'")
        folder = self.root / name
        if not folder.is_dir():
            return None
        pairs = _scan(self.root, folder)
        if not pairs:
            raise DataError(
                f"'{folder}' holds no rgb_*.jpg or rgb_*.png; set dataset.train and dataset.test"
            )
        return pairs

    def _list_file(self, name: str) -> Path:
        bases = [self.root, *([name.base] if isinstance(name, Located) else [])]
        for base in bases:
            if (base / name).is_file():
                return base / name
        places = " or ".join(f"'{base}'" for base in bases)
        raise DataError(f"no list file '{name}' in {places}; set dataset.train and dataset.test")

    def _check_files(self, pairs: list[Pair]) -> None:
        files = [(path, pair.where) for pair in pairs for path in (pair.colour, pair.depth)]
        missing = [item for item in files if not os.path.isfile(self.root / item[0])]  # noqa: PTH113
        if missing:
            names = ", ".join(str(path) for path, _ in missing[:_NAMED])
            more = ", …" if len(missing) > _NAMED else ""
            raise DataError(
                f"{missing[0][1]}: {len(missing)} of {len(files)} files are not in "
                f"'{self.root}': {names}{more}; extract them there, or mend the list"
            )

    def _identity(self, pair: Pair) -> list[Any]:
        stats = [self._stat(path) for path in (pair.colour, pair.depth)]
        return [pair.id, pair.focal, *((stat.st_size, stat.st_mtime_ns) for stat in stats)]

    def _stat(self, path: PurePosixPath) -> os.stat_result:
        try:
            return (self.root / path).stat()
        except OSError as error:
            raise _unreadable(self.root / path, error) from error

    def _content(self, pair: Pair) -> list[Any]:
        return [pair.id, pair.focal, self._sha256(pair.colour), self._sha256(pair.depth)]

    def _sha256(self, path: PurePosixPath) -> str:
        try:
            with (self.root / path).open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise _unreadable(self.root / path, error) from error


def _parse_list(path: Path) -> Iterator[Pair]:
    """Read a list file; lines without depth are left out: nothing can be learnt or scored there."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise _unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise DataError(f"list '{path}' is not a text file; set dataset.train/test") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            pair = _parse_line(line.split(), f"list '{path}', line {number}")
            if pair is not None:
                yield pair


def _parse_line(words: list[str], where: str) -> Pair | None:
    if len(words) not in (2, 3):
        raise DataError(f"{where}: {len(words)} words; expected 'RGB DEPTH' or 'RGB DEPTH FOCAL'")
    focal = None
    if len(words) == 3:
        focal = _number(words[2])
        if not (math.isfinite(focal) and focal > 0):
            raise DataError(f"{where}: '{words[2]}' is no focal length; expected pixels, or none")
    colour = _under_root(words[0], where)
    if words[1] == "None":
        return None
    return Pair(colour, _under_root(words[1], where), focal, where)


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


def _under_root(text: str, where: str) -> PurePosixPath:
    path = PurePosixPath(text.lstrip("/"))
    if ".." in path.parts or "\0" in text:
        raise DataError(f"{where}: '{text}' leads out of the folder; name files inside it")
    return path


def _scan(root: Path, folder: Path) -> list[Pair]:
    found = []
    for parent, _, names in os.walk(folder):
        inside = PurePosixPath(Path(parent).relative_to(root).as_posix())
        for name in names:
            path = inside / name
            if name.startswith("rgb_") and path.suffix in COLOUR_SUFFIXES:
                depth = inside / f"sync_depth_{path.stem.removeprefix('rgb_')}.png"
                found.append(Pair(path, depth, None, f"'{folder}'"))
    return sorted(found, key=lambda pair: pair.colour.parts)


def _check_unique(splits: dict[str, list[Pair]]) -> None:
    seen: dict[str, Pair] = {}
    for pairs in splits.values():
        for pair in pairs:
            first = seen.setdefault(pair.id, pair)
            if first is not pair:
                raise DataError(
                    f"{pair.where}: image '{pair.id}' was already named by {first.where}; "
                    "give each image once, to one split"
                )


def _decode(path: Path, wanted: str) -> npt.NDArray[Any]:
    """Decode an image file: "RGB" to (H, W, 3) uint8, "16-bit" to (H, W) integers."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
            mode = image.mode
            pixels = np.asarray(image.convert("RGB") if wanted == "RGB" else image)
    except FileNotFoundError as error:
        raise _unreadable(path, error) from error
    except Exception as error:  # Pillow raises all kinds of errors on a damaged file
        raise DataError(
            f"cannot decode '{path}' ({error}); the file is damaged or no image: extract it again"
        ) from error
    # Pillow before 11 calls 16-bit PNGs "I".
    if wanted == "16-bit" and mode not in ("I", "I;16", "I;16B", "I;16L"):
        raise DataError(
            f"depth '{path}' is of mode {mode}; expected a 16-bit greyscale PNG of millimetres"
        )
    return pixels


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"cannot read '{path}': {error.strerror or error}; restore the file")


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, separators=(",", ":")).encode()).hexdigest()
