from __future__ import annotations

from pathlib import Path

import pytest

from bench.plugins import Registry, build_registry
from bench.suite import builtin_suites, load_suite


@pytest.fixture(scope="module")
def registry() -> Registry:
    return build_registry()


@pytest.mark.parametrize("path", builtin_suites().values(), ids=lambda path: path.stem)
def test_a_built_in_suite_is_valid_and_named_like_its_file(path: Path, registry: Registry) -> None:
    suite = load_suite(path, registry)
    assert suite.name == path.stem
    assert suite.description
    assert len({cell.label for cell in suite.cells}) == len(suite.cells)
    assert path.read_text(encoding="utf-8").startswith("# ")


def test_the_quickstart_needs_no_weights(registry: Registry) -> None:
    suite = load_suite(builtin_suites()["quickstart"], registry)
    assert suite.dataset.synthetic
    weights = [item for cell in suite.cells for item in cell.method.weights(cell.params)]
    assert weights
    assert {item.origin for item in weights} == {"random-init"}


def test_a_suite_for_photographs_runs_on_a_subset_by_set(
    registry: Registry, tmp_path: Path
) -> None:
    sets = (
        f"dataset.path={tmp_path}/25.mat",
        "dataset.depth=filled",
        "defaults.weights=random-init",
    )
    suite = load_suite(builtin_suites()["nyu_supervised"], registry, sets=sets, only=["c*"])
    assert suite.dataset.params.path == tmp_path / "25.mat"
    assert suite.dataset.params.variant("test") == "filled"
    assert {cell.method.name for cell in suite.cells} == {
        "constant-depth",
        "clip-adapter",
        "coarse-refine-adapter",
        "cnn-ordinal",
        "cnn-unet",
    }
