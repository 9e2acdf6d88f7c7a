"""Where a result was made: Python, packages, device, host, git."""

from __future__ import annotations

import importlib.metadata
import platform
import socket
import subprocess
from functools import lru_cache
from typing import TYPE_CHECKING

from bench.contrib import source_tree
from bench.records import Environment

if TYPE_CHECKING:
    import torch

PACKAGES = ("torch", "torchvision", "timm", "open_clip_torch", "segment-anything", "numpy", "h5py")


def environment(device: torch.device) -> Environment:
    """Describe this machine and what is installed on it."""
    import torch

    commit, dirty = git_state()
    on_gpu = device.type == "cuda"
    return Environment(
        python=platform.python_version(),
        packages={name: _version(name) for name in PACKAGES},
        torch=torch.__version__,
        device=torch.cuda.get_device_name(device) if on_gpu else _cpu_name(),
        cuda=torch.version.cuda if on_gpu else None,
        host=socket.gethostname(),
        git_commit=commit,
        git_dirty=dirty,
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


@lru_cache(maxsize=1)
def _cpu_name() -> str:
    from pathlib import Path

    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"cpu: {names[0] if names else platform.machine()}"


@lru_cache(maxsize=1)
def git_state() -> tuple[str | None, bool | None]:
    """Commit of the checkout bench runs from, and whether its code differs from that commit.

    Only code counts: a run writes records into the tree, and that must not make the next one dirty.
    (None, None) for an installed wheel, or where git does not answer.
    """
    root = source_tree()
    if root is None:
        return None, None

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        changes = git("status", "--porcelain", "--", "bench", "plugins", "pyproject.toml")
    except (OSError, subprocess.SubprocessError):
        return None, None
    return commit, bool(changes)
