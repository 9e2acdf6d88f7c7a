from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.data.base import Dataset, Subset
from bench.method import FitContext
from bench.training import loop
from bench.training.selfsupervised import SelfSupervisedMethod, SelfSupervisedParams
from bench.types import Batch, DepthVariant, Sample

CPU = torch.device("cpu")


class OneDepth(SelfSupervisedMethod):
    """One number, the depth of all pixels."""

    name: ClassVar[str] = "one-depth"
    summary: ClassVar[str] = "test method"
    Params = SelfSupervisedParams

    def build(self) -> nn.Module:
        net = nn.Module()
        net.depth = nn.Parameter(torch.tensor(1.3))
        return net

    def forward(self, net: Any, batch: Batch) -> Tensor:
        return net.depth.expand_as(batch.image[:, :1])


class Waves(Dataset):
    """Synthetic: slow waves, and whatever depth the test asks for."""

    name = "waves"
    summary = "test data"
    synthetic = True

    def __init__(self, depth: float) -> None:
        super().__init__(self.Params())
        self.depth = depth

    def fingerprint(self) -> str:
        return "waves"

    def splits(self) -> dict[str, tuple[str, ...]]:
        return {"train": tuple("abcdef"), "test": tuple("abcdef")}

    def read(self, image_id: str, variant: DepthVariant) -> Sample:
        phase = ord(image_id)
        rows, columns = np.indices((48, 64))
        wave = 127 + 100 * np.sin(columns / 4 + phase) * np.cos(rows / 3 - phase)
        image = np.repeat(wave.astype(np.uint8)[None], 3, axis=0)
        depth = np.full((48, 64), self.depth, dtype=np.float32)
        return Sample(image_id, image, depth, np.isfinite(depth) & (depth > 0))


def method(**settings: Any) -> OneDepth:
    defaults: dict[str, Any] = {
        "supervision": "self-supervised",
        "epochs": 3,
        "batch_size": 2,
        "optimizer": "adam",
        "learning_rate": 0.02,
        "schedule": "constant",
        "weight_decay": 0,
    }
    return OneDepth(SelfSupervisedParams(**defaults | settings), CPU, seed=1)


def fitted(depth: float = 5.0, folder: Path | None = None, **settings: Any) -> OneDepth:
    learner = method(**settings)
    data = Subset.of_split(Waves(depth), "train")
    learner.fit(data, FitContext(seed=1, device=CPU, checkpoints=folder))
    return learner


def learned(learner: OneDepth) -> float:
    net = learner.network()
    assert net is not None
    return float(net.state_dict()["depth"])


def test_what_is_learned_is_one_metre_not_the_depth() -> None:
    assert learned(fitted(epochs=20)) == pytest.approx(1.0, abs=0.05)


def test_with_depth_it_is_the_depth() -> None:
    learner = fitted(epochs=30, supervision="depth", learning_rate=0.1)
    assert learned(learner) == pytest.approx(5.0, abs=0.2)
    assert "l1" in learner.history[0]


def test_depth_is_not_even_looked_at() -> None:
    usual, none_at_all, broken = fitted(5.0), fitted(0.0), fitted(float("nan"))
    assert usual.history == none_at_all.history == broken.history
    assert set(usual.history[0]) == {"epoch", "learning_rate", "loss", "photometric"}


def test_an_interrupted_fit_goes_on_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    monkeypatch.setattr("bench.training.progress.SECONDS_BETWEEN_REPORTS", 0)
    whole = fitted()

    def stop(epoch: int, **_: object) -> None:
        if epoch == 2:
            raise InterruptedError

    data = Subset.of_split(Waves(5.0), "train")
    with pytest.raises(InterruptedError):
        method().fit(data, FitContext(seed=1, device=CPU, checkpoints=tmp_path, report=stop))
    resumed = fitted(folder=tmp_path)
    assert resumed.history == whole.history
    assert learned(resumed) == learned(whole)


def test_the_view_and_its_mirror_image_can_both_go_through() -> None:
    learner = fitted(mirror_pass=True, clamp_predictions=True, symmetry_weight=0.1)
    assert learner.history[0]["symmetry"] == 0
    assert learned(learner) < 1.3


def test_supervision_is_reported() -> None:
    for choice in ("depth", "self-supervised"):
        assert OneDepth.supervision(SelfSupervisedParams(supervision=choice)) == choice


def test_depth_is_the_default_and_the_better_sides_are() -> None:
    params = SelfSupervisedParams()
    assert params.supervision == "depth"
    assert (params.photometric, params.registration) == ("monodepth2", "fixed")
    assert params.photometric_weight == 1.0


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"supervision": "self-supervised", "selection": "validation"}, "selection: last"),
        ({"supervision": "both"}, "supervision"),
        ({"photometric_weight": 0}, "photometric_weight"),
        ({"registration": "none"}, "registration"),
    ],
)
def test_impossible_parameters_are_refused(bad: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SelfSupervisedParams(**bad)


def test_importing_it_does_not_import_torch() -> None:
    code = "import sys, bench.training.selfsupervised\n"
    code += "assert not {'torch', 'cv2'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_methods_that_learn_from_depth_get_their_usual_batches(
    ramps: Callable[..., Subset],
) -> None:
    from bench.training.images import TrainingImages

    images = TrainingImages(ramps(images=4), segments=False)
    (batch, *_) = method(supervision="depth").training_batches(images, range(4), 1, 1)
    assert batch.depth is not None
