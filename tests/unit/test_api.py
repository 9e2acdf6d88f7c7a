from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import bench
from bench.errors import BenchError, MethodError, UnknownNameError

IMAGES = torch.linspace(0, 1, 2 * 3 * 24 * 32).reshape(2, 3, 24, 32)


def test_everything_in_all_is_there_and_nothing_heavy_is_imported() -> None:
    for name in bench.__all__:
        assert getattr(bench, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = bench.nonsense
    script = "import bench, sys; print('torch' in sys.modules, 'pydantic' in sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=root)
    assert done.stdout.strip() == "False False"


@pytest.mark.parametrize("images", [IMAGES, IMAGES.numpy()])
def test_a_method_predicts_from_tensors_and_arrays(images: object) -> None:
    depth = bench.create_method("constant-depth", depth=3.0).predict(images)
    assert depth.shape[:2] == (2, 1)
    assert depth.dtype == torch.float32
    assert torch.all(depth == 3.0)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[0], r"give \(B, 3, H, W\)"),
        (IMAGES[:, :2], r"give \(B, 3, H, W\)"),
        (IMAGES[:0], r"give \(B, 3, H, W\)"),
        (IMAGES.double(), "give float32"),
        ((IMAGES * 255).to(torch.uint8), "give float32"),
        (IMAGES * 255, r"lie in \[0, 255\]"),
        (IMAGES * float("nan"), "lie in"),
    ],
)
def test_images_of_another_form_are_refused(images: torch.Tensor, message: str) -> None:
    model = bench.create_method("constant-depth")
    with pytest.raises(MethodError, match=message):
        model.predict(images)


def test_mistakes_are_told() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'constant-depth'"):
        bench.create_method("constant-dept")
    with pytest.raises(BenchError, match=r"method 'constant-depth': deep: Extra inputs"):
        bench.create_method("constant-depth", deep=3.0)
    with pytest.raises(MethodError, match="learns from data: run it in a suite, then pass fit"):
        bench.create_method("mean-depth-map")


def test_a_finished_fit_predicts_what_its_suite_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yml").write_text(
        "suite: s\n"
        "dataset: {name: rooms, images: 2, test_images: 1, height: 48, width: 64}\n"
        "protocols: [full]\n"
        "methods: [{name: mean-depth-map}]\n"
    )
    result = bench.run_suite("s.yml", records="out/records")
    assert result.complete
    assert result.made == 1
    [record] = bench.load_records("out/records")
    from bench.store import cache_root

    model = bench.create_method("mean-depth-map", fit=cache_root() / "fits" / record.keys.fit)
    depth = model.predict(torch.zeros(1, 3, 48, 64))[0, 0].numpy()
    dataset = result.plan.test.dataset
    truths = [dataset.read(name, "filled").depth for name in dataset.splits()["train"]]
    np.testing.assert_allclose(depth, np.mean(np.float64(truths), axis=0), rtol=1e-6)
