"""Pretrained weights: which, whether they can be had, getting them, and their hash.

Planning asks `Weights.key` and `Weights.availability`; neither touches torch or the network.
Nothing falls back silently: weights that cannot be had block the cell, and random weights are
called random-init wherever they are shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from bench.data.hashes import file_sha256
from bench.encoders import download, sources
from bench.encoders.sources import Library, Source
from bench.errors import BlockedError, suggestion
from bench.paths import expand

PRETRAINED = "pretrained"
RANDOM_INIT = "random-init"
CUSTOM = "custom"
"""The architecture of an encoder that is configured inline."""

Origin = Literal["pretrained", "file", "random-init"]

_FILE_ENDINGS = (*sources.ENDINGS, ".ckpt")


def looks_like_path(choice: str) -> bool:
    """Whether a choice of weights means a file: it has a separator or a weights file's ending."""
    return (
        "/" in choice
        or "\\" in choice
        or choice.startswith(("~", "$"))
        or choice.lower().endswith(_FILE_ENDINGS)
    )


def _absolute(value: object) -> object:
    if isinstance(value, str):
        return str(expand(value)) if looks_like_path(value) else str(value)
    return value


WeightsChoice = Annotated[str, BeforeValidator(_absolute)]
"""The type of a `weights` parameter: ``pretrained``, a tag, ``random-init``, or a file.

A path is made absolute, against the suite's folder where it comes from a suite.
"""


@dataclass(frozen=True)
class Availability:
    """Whether weights can be had here.

    Attributes:
        state: ``ready``; ``download``: they will be fetched when the cell runs; ``missing``.
        reason: One line; for ``missing`` it says what to do.
    """

    state: Literal["ready", "download", "missing"]
    reason: str


@dataclass(frozen=True)
class Weights:
    """One choice of weights for one architecture.

    Attributes:
        library: Whose architecture it is.
        architecture: Its name there (``RN50``); ``custom`` for an inline configuration.
        choice: ``pretrained`` (the default tag), a tag, a file's path, or ``random-init``.
        default_tag: What ``pretrained`` stands for; None leaves it to the library.
    """

    library: Library
    architecture: str
    choice: str = PRETRAINED
    default_tag: str | None = None

    @property
    def origin(self) -> Origin:
        """Where the numbers come from."""
        if self.choice == RANDOM_INIT:
            return "random-init"
        return "file" if looks_like_path(self.choice) else "pretrained"

    @property
    def tag(self) -> str:
        """The published weights' tag; "" for the library's own default, files and random-init."""
        if self.origin != "pretrained":
            return ""
        return (self.default_tag or "") if self.choice == PRETRAINED else self.choice

    @property
    def name(self) -> str:
        """What tables call it: ``open_clip RN50 (openai)``, ``… (RN50.pt)``."""
        chosen = Path(self.choice).name if self.origin == "file" else self.tag or self.choice
        return f"{self.library} {self.architecture} ({chosen})"

    def key(self) -> str:
        """What stands for the weights in a fit key.

        The SHA-256 of a file; of a tag its published SHA-256, else its name; ``random-init``. A
        file that does not exist is stood for by its path: its cell is blocked anyway.
        """
        if self.origin == "random-init":
            return RANDOM_INIT
        if self.origin == "file":
            path = Path(self.choice)
            return file_sha256(path) if path.is_file() else f"missing:{path}"
        source = self._source()
        if source is not None and source.identified:
            return source.sha256
        return f"{self.library}/{self.architecture}/{self.tag or PRETRAINED}"

    def availability(self) -> Availability:
        """Whether `fetch` will find them, as far as can be seen without torch and network."""
        if self.origin == "random-init":
            return Availability("ready", "random-init: no weights needed")
        problem = self._problem()
        if problem:
            return Availability("missing", problem)
        path = self._local()
        if path is not None:
            return Availability("ready", f"{self.name}: {path}")
        if not sources.offline():
            return Availability("download", f"{self.name} will be downloaded")
        if sources.may_be_in_hub_cache(self.library, self.architecture, self.tag):
            return Availability("download", f"{self.name} may be in the Hugging Face cache")
        why = "downloads are off (BENCH_OFFLINE)"
        return Availability("missing", self._wanted(why, self._source()))

    def fetch(self) -> Path | None:
        """Have the weights on this machine, downloading them if need be.

        Returns:
            The file; None for random-init, which opens no file and no socket.

        Raises:
            BlockedError: They cannot be had, or the file is not the one that was published.
        """
        if self.origin == "random-init":
            return None
        problem = self._problem()
        if problem:
            raise BlockedError(problem)
        path = self._local()
        if path is None:
            path = self._download()
        elif self.origin == "pretrained":
            self._verify(path)
        return path

    def record(self) -> dict[str, Any]:
        """What a record says of them: name, origin, and the SHA-256 of the file that is here."""
        path = None
        if self.origin != "random-init" and not self._problem():
            path = self._local() or download.in_cache(self.library, self.architecture, self.tag)
        sha256 = None if path is None else file_sha256(path)
        return {"name": self.name, "origin": self.origin, "sha256": sha256}

    def _source(self) -> Source | None:
        return sources.published(self.library, self.architecture, self.tag)

    def _local(self) -> Path | None:
        if self.origin == "file":
            return Path(self.choice)
        source = self._source()
        if source is None:
            return None
        return sources.file_in_folders(source) or sources.file_in_hub_cache(source)

    def _problem(self) -> str:
        if self.origin == "file":
            path = Path(self.choice)
            if path.is_file():
                return ""
            what = "is not a file" if path.exists() else "does not exist"
            return f"weights file '{path}' {what}; correct `weights`, or put the file there"
        if self.architecture == CUSTOM:
            return (
                f"weights '{self.choice}': an encoder configured inline has no published weights; "
                "set `weights` to a file or to random-init"
            )
        if self._source() is None:
            return self._no_such_tag()
        return ""

    def _no_such_tag(self) -> str:
        what = f"weights '{self.choice}': {self.library} has none for '{self.architecture}'"
        if self.library == "open_clip":
            near = suggestion(self.architecture, sources.openai_architectures())
            return f"{what} under the tag '{self.tag}'{near}"
        return f"{what}; set `weights` to a file"

    def _verify(self, path: Path) -> None:
        source = self._source()
        if source is None or not source.sha256 or path.name != source.files[0]:
            return
        found = file_sha256(path)
        if not found.startswith(source.sha256):
            raise BlockedError(
                f"'{path}' is not {self.name}: its SHA-256 is {found[:12]}…, published is "
                f"{source.sha256[:12]}…; delete it, or set weights: {path} to use it as it is"
            )

    def _download(self) -> Path:
        try:
            return download.fetch(self.library, self.architecture, self.tag)
        except download.NotFetchedError as error:
            source = error.source or self._source()
            raise BlockedError(self._wanted(str(error), source)) from error

    def _wanted(self, why: str, source: Source | None) -> str:
        place = sources.weights_folder()
        if source is not None and source.url.endswith(sources.ENDINGS):
            what, name = source.url, source.file_name(source.url)
        elif source is not None and source.hub:
            what, name = f"{sources.hub_endpoint()}/{source.hub}", source.files[0]
        else:
            return f"{self.name} cannot be had: {why}; set `weights` to a file with them"
        how = f"download {what} on a machine with a network and put it at '{place / name}'"
        return f"{self.name} cannot be had: {why}; {how}, or set `weights` to the file"
