"""Two stages from one fit, on a network of two small parts."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from bench.cost import parameter_counts
from bench.data.base import Subset
from bench.errors import MethodError
from bench.method import FitContext
from bench.training import loop
from bench.training.loop import StepOutput
from bench.training.staged import StagedMethod, StagedParams
from bench.types import Batch, Window

CPU = torch.device("cpu")


class Frozen(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1).requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        features: Tensor = self.conv(image)
        return features


class Net(nn.Module):
    """A frozen encoder, a coarse part with batch norm and dropout, a refine part."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Frozen()
        self.coarse = nn.Sequential(
            nn.Conv2d(5, 6, 1), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.2), nn.Conv2d(6, 1, 1)
        )
        self.refine = nn.Sequential(
            nn.Conv2d(4, 6, 3, padding=1), nn.Dropout(0.1), nn.ReLU(), nn.Conv2d(6, 1, 1)
        )


class Tiny(StagedMethod):
    name: ClassVar[str] = "tiny"
    summary: ClassVar[str] = "test method"
    Params = StagedParams

    def build_stages(self) -> nn.Module:
        return Net()

    def forward(self, net: Any, batch: Batch) -> Tensor:
        coarse: Tensor = net.coarse(torch.cat([batch.image, net.encoder(batch.image)], dim=1))
        if self.params.stage == "coarse":
            return coarse
        depth: Tensor = net.refine(torch.cat([batch.image, coarse], dim=1))
        return depth


def tiny(kind: type[Tiny] = Tiny, **settings: Any) -> Tiny:
    defaults: dict[str, Any] = {
        "epochs": 3,
        "refine_epochs": 2,
        "batch_size": 2,
        "learning_rate": 0.01,
        "augmentation": "flip",
    }
    return kind(StagedParams(**{**defaults, **settings}), CPU, seed=1)


def fitted(data: Subset, folder: Path | None = None, seed: int = 1, **settings: Any) -> Tiny:
    method = tiny(**settings)
    method.fit(data, FitContext(seed=seed, device=CPU, checkpoints=folder))
    return method


def state(method: Tiny) -> dict[str, Tensor]:
    assert method._net is not None
    return method._net.state_dict()


def same(one: Tiny, other: Tiny, part: str = "") -> bool:
    mine, theirs = state(one), state(other)
    return all(torch.equal(mine[name], theirs[name]) for name in mine if name.startswith(part))


def batch_of(data: Subset, count: int) -> Batch:
    images = [torch.from_numpy(data[index].image).float() / 255 for index in range(count)]
    return Batch(torch.stack(images), Window.whole(12, 16), data.ids[:count])


@pytest.fixture
def data(ramps: Callable[..., Subset]) -> Subset:
    return ramps()


def test_both_stages_learn(data: Subset) -> None:
    method = fitted(
        data, epochs=60, refine_epochs=60, learning_rate=0.02, augmentation="none", loss="l1"
    )
    coarse = [entry["loss"] for entry in method.history if entry["stage"] == 1]
    refine = [entry["loss"] for entry in method.history if entry["stage"] == 2]
    assert coarse[-1] < coarse[0] / 3
    assert refine[-1] < refine[0] / 5


def test_the_history_covers_both_stages(data: Subset) -> None:
    method = fitted(data, refine_learning_rate=0.001, schedule="constant")
    assert [entry["epoch"] for entry in method.history] == [1, 2, 3, 4, 5]
    assert [entry["stage"] for entry in method.history] == [1, 1, 1, 2, 2]
    assert [entry["learning_rate"] for entry in method.history] == [0.01] * 3 + [0.001] * 2
    assert method.selection == "coarse: last epoch (3); refine: last epoch (2)"


def test_what_is_said_once_holds_for_both_stages(data: Subset) -> None:
    method = fitted(data, refine_epochs=None)
    assert [entry["stage"] for entry in method.history] == [1, 1, 1, 2, 2, 2]
    rates = [entry["learning_rate"] for entry in method.history]
    assert rates[:3] == rates[3:]


def test_the_coarse_stage_is_frozen_while_the_refine_stage_learns(data: Subset) -> None:
    one, other = fitted(data, refine_epochs=1), fitted(data, refine_epochs=3, schedule="constant")
    assert same(one, fitted(data, refine_epochs=1))
    one = fitted(data, refine_epochs=1, schedule="constant")
    assert same(one, other, "coarse.")  # its batch norm too
    assert same(one, other, "encoder.")
    assert not same(one, other, "refine.")


def test_the_frozen_stage_is_in_eval_mode(data: Subset) -> None:
    modes: dict[str, set[tuple[bool, bool]]] = {"coarse": set(), "refine": set()}

    class Watched(Tiny):
        def forward(self, net: Any, batch: Batch) -> Tensor:
            if torch.is_grad_enabled():
                modes[self.params.stage].add((net.coarse[3].training, net.refine[1].training))
            return super().forward(net, batch)

    tiny(Watched).fit(data, FitContext(seed=1, device=CPU))
    assert modes == {"coarse": {(True, False)}, "refine": {(False, True)}}


def test_one_fit_gives_a_row_per_stage(data: Subset, tmp_path: Path) -> None:
    assert StagedParams.predict_names() == frozenset({"stage"})
    coarse, refine = fitted(data, stage="coarse"), fitted(data, stage="refine")
    assert same(coarse, refine)
    assert coarse.history == refine.history
    coarse.save(tmp_path)
    batch = batch_of(data, 3)
    for method in (coarse, refine):
        loaded = tiny(stage=method.params.stage)
        loaded.load(tmp_path)
        assert torch.equal(loaded.predict(batch), method.predict(batch))
        assert loaded.history == method.history
        assert loaded.selection == method.selection
    assert not torch.equal(coarse.predict(batch), refine.predict(batch))


def test_a_row_costs_what_its_stage_needs(data: Subset, tmp_path: Path) -> None:
    fitted(data).save(tmp_path)
    coarse, refine = tiny(stage="coarse"), tiny(stage="refine")
    coarse.load(tmp_path)
    refine.load(tmp_path)
    encoder, first, second = 3 * 2 + 2, 5 * 6 + 6 + 12 + 6 + 1, 4 * 6 * 9 + 6 + 6 + 1
    assert parameter_counts(coarse.network()) == (encoder + first, first)
    assert parameter_counts(refine.network()) == (encoder + first + second, first + second)


class InterruptedFitError(Exception):
    pass


def interrupt_after(epochs: int) -> Callable[..., None]:
    def report(epoch: int, **_: object) -> None:
        if epoch > epochs:
            raise InterruptedFitError

    return report


@pytest.mark.parametrize("done", [1, 3, 4])  # within a stage, between the two, within the other
@pytest.mark.parametrize("settings", [{}, {"selection": "validation", "validation_share": 0.3}])
def test_an_interrupted_fit_goes_on_bit_for_bit(
    data: Subset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    done: int,
    settings: dict[str, Any],
) -> None:
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    monkeypatch.setattr("bench.training.progress.SECONDS_BETWEEN_REPORTS", 0)
    whole = fitted(data, **settings)
    cut = FitContext(seed=1, device=CPU, checkpoints=tmp_path, report=interrupt_after(done))
    with pytest.raises(InterruptedFitError):
        tiny(stage="coarse", **settings).fit(data, cut)
    told: list[dict[str, Any]] = []
    resumed = tiny(stage="refine", **settings)
    resumed.fit(
        data,
        FitContext(
            seed=1, device=CPU, checkpoints=tmp_path, report=lambda **values: told.append(values)
        ),
    )
    assert {values["epoch"] for values in told} == set(range(done + 1, 6))
    assert {values["epochs"] for values in told} == {5}
    assert all(values["epoch"] - 1 < values["progress"] <= values["epoch"] for values in told)
    assert same(whole, resumed)
    assert whole.history == resumed.history
    assert whole.selection == resumed.selection


@pytest.mark.parametrize("harm", ["truncated", "not JSON", "of another fit"])
def test_a_finished_stage_that_cannot_be_used_is_trained_anew(
    data: Subset, tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: str
) -> None:
    fitted(data, tmp_path, seed=2 if harm == "of another fit" else 1)
    shutil.rmtree(tmp_path / "refine")
    (finished,) = (tmp_path / "coarse").glob("finished-*")
    if harm == "truncated":
        tensors = finished / "trained.safetensors"
        tensors.write_bytes(tensors.read_bytes()[:100])
    elif harm == "not JSON":
        (finished / "training.json").write_text("{")
    with caplog.at_level(logging.WARNING):
        again = fitted(data, tmp_path)
    assert ("is trained anew" in caplog.text) == (harm != "of another fit")
    assert same(again, fitted(data))


def test_a_fit_uses_and_moves_no_global_random_state(data: Subset) -> None:
    torch.manual_seed(1)
    one = fitted(data)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert same(one, fitted(data))
    assert torch.equal(torch.get_rng_state(), before)
    assert not same(one, fitted(data, seed=2))


def test_a_failure_in_the_refine_stage_names_its_rate(data: Subset) -> None:
    class Broken(Tiny):
        def losses(self, net: nn.Module, step: StepOutput) -> dict[str, Tensor]:
            factor = float("nan") if self.params.stage == "refine" else 1.0
            return {name: value * factor for name, value in super().losses(net, step).items()}

    with pytest.raises(MethodError, match=r"epoch 1, step 1 .* rate is refine_learning_rate\)$"):
        tiny(Broken).fit(data, FitContext(seed=1, device=CPU))


@pytest.mark.parametrize(
    "bad",
    [
        {"stage": "fine"},
        {"refine_epochs": 0},
        {"refine_learning_rate": 0},
        {"refine_epochs": 2, "warmup_epochs": 2},
    ],
)
def test_impossible_parameters_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        StagedParams(**bad)
