from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.errors import PluginError
from bench.plugins import build_registry

GOOD = """
from bench import Method, hookimpl

class Flat(Method):
    name = "{name}"
    summary = "Flat."
    def predict(self, batch):
        return batch.image[:, :1] * 0 + 1

@hookimpl
def register_methods():
    return [Flat]
"""


FLAT = GOOD.format(name="x")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "mine"
    made.mkdir()
    return made


def module(name: str) -> str:
    # Modules stay imported in this process: each test needs names of its own.
    module.count += 1  # type: ignore[attr-defined]
    return f"{name}_{module.count}"  # type: ignore[attr-defined]


module.count = 0  # type: ignore[attr-defined]


def test_the_built_ins_load() -> None:
    registry = build_registry()
    assert registry.broken == []
    assert {"constant-depth", "mean-depth-map", "cnn-unet", "depthclip", "clip-adapter"} <= set(
        registry.methods
    )
    assert {"nyu-v2", "rooms"} <= set(registry.datasets)
    assert {"full", "nyu-eigen", "nyu-study"} <= set(registry.protocols)
    assert len(registry.metrics) >= 9
    assert registry.plugin_of("methods", "cnn-unet").name == "cnn_unet"


def test_a_file_dropped_into_a_folder_is_found(folder: Path) -> None:
    name = module("flat")
    (folder / f"{name}.py").write_text(GOOD.format(name="flat-one"))
    registry = build_registry([folder])
    assert "flat-one" in registry.methods
    assert registry.plugin_of("methods", "flat-one").version == "local"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("1/0", "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("def f(:", "SyntaxError"),
        ("import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        (
            "from bench import hookimpl\n@hookimpl\ndef register_method():\n    return []",
            "register_method",
        ),
        (
            "from bench import hookimpl\n@hookimpl\ndef register_methods(extra):\n    return []",
            "extra",
        ),
        (
            "from bench import hookimpl\n@hookimpl\ndef register_methods():\n    return 3",
            "register_methods() must return a list, it returned int",
        ),
        (
            "from bench import hookimpl\n@hookimpl\ndef register_methods():\n    return [int]",
            "must return Method classes",
        ),
        (GOOD.format(name="Not A Name"), "must be lower-case"),
        (FLAT.replace("predict(self, batch)", "predict(self)"), "wrong signature"),
        (FLAT.replace("def predict", "def forecast"), "does not implement predict"),
        (FLAT.replace('summary = "Flat."', ""), "has no 'summary' string"),
    ],
)
def test_a_broken_plugin_is_kept_with_its_reason_and_the_rest_works(
    folder: Path, source: str, reason: str
) -> None:
    name = module("broken")
    (folder / f"{name}.py").write_text(source)
    registry = build_registry([folder])
    assert [item.name for item in registry.broken] == [name]
    assert reason in str(registry.broken[0])
    assert "\n" not in str(registry.broken[0])
    assert str(folder / f"{name}.py") in str(registry.broken[0])
    assert "cnn-unet" in registry.methods


def test_a_plugin_that_prints_does_not_disturb_json(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / f"{module('loud')}.py").write_text("print('hello')")
    build_registry([folder])
    assert capsys.readouterr().out == ""


def test_two_plugins_may_not_claim_one_method(folder: Path) -> None:
    (folder / f"{module('flat')}.py").write_text(GOOD.format(name="cnn-unet"))
    with pytest.raises(PluginError, match="method 'cnn-unet' is registered by two plugins"):
        build_registry([folder])


def test_two_files_may_not_share_a_module_name(folder: Path) -> None:
    (folder / "cnn_unet.py").write_text(GOOD.format(name="mine"))
    with pytest.raises(PluginError, match=r"two plugins are called 'cnn_unet': .* and .*; rename"):
        build_registry([folder])


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="is not a folder"):
        build_registry([tmp_path / "nowhere"])


@pytest.mark.parametrize("command", ["list", "list methods --json", "plan quickstart", "--help"])
def test_listing_and_planning_import_nothing_heavy(command: str) -> None:
    heavy = ("torch", "timm", "open_clip", "pandas", "scipy", "torchvision", "segment_anything")
    script = (
        "import sys; from bench.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command.split()],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.splitlines()[-1] == "[]"
