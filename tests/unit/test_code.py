from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import code


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package `probe` with a method that reaches a helper by a function-level import."""
    folder = tmp_path / "probe"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "method.py").write_text(
        '"""Docs."""\n'
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n"
        "    from probe import typed\n"
        "def fit():\n"
        "    from .loss import l1\n"
        "    return l1(1)\n"
    )
    (folder / "loss.py").write_text("def l1(x):\n    '''Absolute.'''\n    return abs(x)\n")
    (folder / "typed.py").write_text("A = 1\n")
    (folder / "unrelated.py").write_text("B = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import importlib

    importlib.import_module("probe")
    code._parse.cache_clear()
    yield folder
    sys.modules.pop("probe", None)
    code._parse.cache_clear()


def rehash() -> code.Code:
    code._parse.cache_clear()
    return code.code_of(["probe.method"])


def test_what_is_reached_by_import_counts_and_nothing_else(package: Path) -> None:
    assert set(rehash().modules) == {"probe", "probe.method", "probe.loss"}


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("loss.py", "def l1(x):\n    '''Other words.'''\n    # why\n    return   abs( x )\n"),
        ("unrelated.py", "B = 2\n"),
        ("typed.py", "A = 2\n"),
    ],
)
def test_docstrings_comments_format_and_strangers_do_not_count(
    package: Path, file: str, text: str
) -> None:
    before = rehash().sha256
    (package / file).write_text(text)
    assert rehash().sha256 == before


def test_a_mended_loss_counts_and_is_named(package: Path) -> None:
    before = rehash()
    (package / "loss.py").write_text("def l1(x):\n    return abs(x) / 2\n")
    after = rehash()
    assert after.sha256 != before.sha256
    changed = {name for name in after.modules if after.modules[name] != before.modules[name]}
    assert changed == {"probe.loss"}


def test_the_hash_does_not_depend_on_the_python_version(package: Path) -> None:
    # Computed once on 3.11; 3.12 added fields to syntax trees and must give the same.
    (package / "loss.py").write_text("class A(int):\n    def f(x): ...\n")
    assert code._parse(package / "loss.py", "probe.loss").sha256.startswith("765b0eeb")


def test_a_method_hangs_on_the_training_it_imports_but_not_on_the_report() -> None:
    modules = code.code_of(["bench.contrib.cnn_unet"]).modules
    assert "bench.training.losses" in modules
    assert "bench.contrib.cnn_unet.network" in modules
    left_out = ("bench.cli", "bench.runner", "bench.store", "bench.report")
    assert not [name for name in modules if name.startswith(left_out)]
    assert "bench.contrib.depthclip" not in modules
