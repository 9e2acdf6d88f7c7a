"""Getting published weights: from their publisher or the Hugging Face hub, each tried once."""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.encoders import sources
from bench.encoders.sources import Library, Source

TIMEOUT_SECONDS = 10
_CHUNK = 1 << 20
_log = logging.getLogger("bench")


class NotFetchedError(Exception):
    """The weights could not be fetched.

    Attributes:
        source: Where they were looked for; None where that is not known.
    """

    def __init__(self, message: str, source: Source | None = None) -> None:
        super().__init__(message)
        self.source = source


def fetch(library: Library, architecture: str, tag: str) -> Path:
    """Fetch published weights into the download folder, or find them in the hub's cache.

    Raises:
        NotFetchedError: No place had them.
    """
    source = library_source(library, architecture, tag)
    cached = sources.file_in_hub_cache(source)
    if cached is not None:
        return cached
    if sources.offline():
        raise NotFetchedError("downloads are off (BENCH_OFFLINE)", source)
    problems = []
    for url, sha256 in _addresses(source):
        try:
            return _download(url, sha256, sources.download_folder() / source.file_name(url))
        except urllib.error.URLError as error:
            problems.append(str(error.reason))
        except (OSError, http.client.HTTPException) as error:
            problems.append(str(error) or type(error).__name__)
    why = "; ".join(dict.fromkeys(problems)) or "nobody says where they are"
    raise NotFetchedError(why, source)


def in_cache(library: Library, architecture: str, tag: str) -> Path | None:
    """The file in the hub's cache, looked up as the library names it; None where there is none."""
    try:
        return sources.file_in_hub_cache(library_source(library, architecture, tag))
    except NotFetchedError:
        return None


def library_source(library: Library, architecture: str, tag: str) -> Source:
    """Where weights are, as their library has it. Imports the library.

    Raises:
        NotFetchedError: The library knows no such architecture or tag.
    """
    known = sources.published(library, architecture, tag)
    if known is None:
        raise NotFetchedError(f"{library} has no weights '{tag}' for {architecture}")
    if known.url:
        return known
    config = _open_clip(architecture, tag) if library == "open_clip" else _timm(architecture, tag)
    hub, names = _hub(library, config)
    url = str(config.get("url") or "")
    return Source(known.files, url, _hash_in_name(url), hub, names)


def _open_clip(architecture: str, tag: str) -> dict[str, Any]:
    from open_clip import get_pretrained_cfg, list_pretrained_tags_by_model

    config: dict[str, Any] = dict(get_pretrained_cfg(architecture, tag))
    if not config:
        known = ", ".join(list_pretrained_tags_by_model(architecture)) or "none"
        raise NotFetchedError(f"open_clip has no tag '{tag}' for {architecture}; known: {known}")
    return config


def _timm(architecture: str, tag: str) -> dict[str, Any]:
    import timm

    name = f"{architecture}.{tag}" if tag else architecture
    try:
        config = timm.get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError as error:
        raise NotFetchedError(f"timm has no weights called '{name}'") from error
    if config is None:
        raise NotFetchedError(f"timm has no weights called '{name}'")
    return asdict(config)


def _hub(library: Library, config: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    if library == "timm":
        special = config.get("hf_hub_filename")
        names = (special,) if special else sources.TIMM_HUB_FILES
        return str(config.get("hf_hub_id") or ""), names
    repository, _, file = str(config.get("hf_hub") or "").rpartition("/")
    return repository, (file,) if file else sources.OPEN_CLIP_HUB_FILES


def _hash_in_name(url: str) -> str:
    """The first digits of the SHA-256 that a publisher wrote into the file's name."""
    digits = Path(url).stem.rpartition("-")[2]
    return digits if len(digits) == 8 and set(digits) <= set("0123456789abcdef") else ""


def _addresses(source: Source) -> Iterator[tuple[str, str]]:
    """Addresses with what is known of their SHA-256, best first.

    A published hash is the best there is; else the hub, whose files are of today's formats.
    """
    readable = source.url.endswith(sources.ENDINGS)
    publisher = [(source.url, source.sha256)] if readable else []
    hub = [(sources.hub_url(source, name), "") for name in source.hub_files if source.hub]
    yield from publisher + hub if source.identified else hub + publisher


def _download(url: str, sha256: str, target: Path) -> Path:
    """Download aside, check, put in place. Raises `OSError`, `http.client.HTTPException`."""
    _log.info("downloading %s", url)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=target.parent)
    aside = Path(name)
    try:
        with (
            os.fdopen(descriptor, "wb") as file,
            urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer,
        ):
            found = hashlib.sha256()
            while chunk := answer.read(_CHUNK):
                found.update(chunk)
                file.write(chunk)
            promised = answer.headers.get("Content-Length")
        if promised is not None and aside.stat().st_size != int(promised):
            raise OSError(f"the connection to {url} broke off")
        if not found.hexdigest().startswith(sha256):
            raise OSError(f"what {url} sent has SHA-256 {found.hexdigest()[:12]}…")
        aside.chmod(0o644)
        return aside.rename(target)
    finally:
        aside.unlink(missing_ok=True)
