from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a store, a data folder and a plugin path of its own."""
    root = tmp_path_factory.mktemp("bench")
    monkeypatch.setenv("BENCH_CACHE", str(root / "cache"))
    monkeypatch.setenv("BENCH_DATA", str(root / "data"))
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    monkeypatch.delenv("BENCH_PLUGINS", raising=False)
    return root
