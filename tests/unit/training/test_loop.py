"""The loop, on a network of three convolutions: fit, resume, select, fail, save, load."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from bench.data.base import Subset
from bench.errors import MethodError
from bench.method import FitContext
from bench.training import checkpoints, loop, losses
from bench.training.loop import StepOutput, forward_passes, ground_truth
from bench.training.trained_method import TrainedMethod, TrainingParams
from bench.types import Batch, Window

CPU = torch.device("cpu")


class Tiny(TrainedMethod):
    """A frozen first layer with batch norm; a trained rest with batch norm and dropout."""

    name: ClassVar[str] = "tiny"
    summary: ClassVar[str] = "test method"

    def build(self) -> nn.Module:
        net = nn.Module()
        net.frozen = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
        net.trained = nn.Sequential(
            nn.Conv2d(6, 8, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.1), nn.Conv2d(8, 1, 1)
        )
        net.frozen.requires_grad_(False)
        return net

    def forward(self, net: Any, batch: Batch) -> Tensor:
        depth: Tensor = net.trained(torch.cat([batch.image, net.frozen(batch.image)], dim=1))
        return depth


def tiny(**settings: Any) -> Tiny:
    defaults: dict[str, Any] = {
        "epochs": 4,
        "batch_size": 2,
        "learning_rate": 0.01,
        "augmentation": "flip",
    }
    return Tiny(TrainingParams(**{**defaults, **settings}), CPU, seed=1)


def fitted(data: Subset, folder: Path | None = None, seed: int = 1, **settings: Any) -> Tiny:
    method = tiny(**settings)
    method.fit(data, FitContext(seed=seed, device=CPU, checkpoints=folder))
    return method


def state(method: TrainedMethod) -> dict[str, Tensor]:
    net = method.network()
    assert net is not None
    return net.state_dict()


def same(one: TrainedMethod, other: TrainedMethod) -> bool:
    mine, theirs = state(one), state(other)
    return all(torch.equal(mine[name], theirs[name]) for name in mine)


def batch_of(data: Subset, count: int) -> Batch:
    images = [torch.from_numpy(data[index].image).float() / 255 for index in range(count)]
    return Batch(torch.stack(images), Window.whole(12, 16), data.ids[:count])


@pytest.fixture
def data(ramps: Callable[..., Subset]) -> Subset:
    return ramps()


def test_training_learns(data: Subset) -> None:
    method = fitted(data, epochs=60, learning_rate=0.02, augmentation="none")
    losses_seen = [entry["loss"] for entry in method.history]
    assert losses_seen[-1] < losses_seen[0] / 5
    batch = batch_of(data, 6)
    error = (method.predict(batch)[:, 0] - batch.image[:, 0] * 10.2).abs().mean()
    assert error < 0.5


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_two_fits_of_one_seed_are_equal_bit_for_bit(data: Subset, optimizer: str) -> None:
    one, other = fitted(data, optimizer=optimizer), fitted(data, optimizer=optimizer)
    assert same(one, other)
    assert one.history == other.history


def test_the_seed_matters(data: Subset) -> None:
    assert not same(fitted(data, seed=1), fitted(data, seed=2))


def test_global_random_state_is_neither_used_nor_moved(data: Subset, tmp_path: Path) -> None:
    torch.manual_seed(1)
    one = fitted(data)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    other = fitted(data)
    other.save(tmp_path)
    tiny().load(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    assert same(one, other)


def test_frozen_parts_do_not_drift(data: Subset) -> None:
    before = fitted(data, epochs=1)
    after = fitted(data, epochs=3, schedule="constant")
    frozen = [name for name in state(before) if name.startswith("frozen")]
    assert all(torch.equal(state(before)[name], state(after)[name]) for name in frozen)
    assert not same(before, after)


class InterruptedFitError(Exception):
    pass


def interrupt_after(epochs: int) -> Callable[..., None]:
    def report(epoch: int, **_: object) -> None:
        if epoch > epochs:
            raise InterruptedFitError

    return report


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "sgd", "schedule": "step", "step_epochs": 1},
        {"optimizer": "adamw", "schedule": "cosine", "augmentation": "study"},
        {"optimizer": "adam", "selection": "validation", "validation_share": 0.3},
    ],
)
def test_an_interrupted_fit_goes_on_bit_for_bit(
    data: Subset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    monkeypatch.setattr("bench.training.progress.SECONDS_BETWEEN_REPORTS", 0)
    whole = fitted(data, **settings)
    cut = FitContext(seed=1, device=CPU, checkpoints=tmp_path, report=interrupt_after(2))
    with pytest.raises(InterruptedFitError):
        tiny(**settings).fit(data, cut)
    seen: list[int] = []
    resumed = tiny(**settings)
    resumed.fit(
        data,
        FitContext(
            seed=1,
            device=CPU,
            checkpoints=tmp_path,
            report=lambda epoch, **_: seen.append(epoch),
        ),
    )
    assert set(seen) == {3, 4}
    assert same(whole, resumed)
    assert whole.history == resumed.history
    assert whole.selection == resumed.selection


@pytest.mark.parametrize("harm", ["truncated", "not a checkpoint", "of another fit"])
def test_a_useless_checkpoint_is_passed_over_and_said(
    data: Subset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    harm: str,
) -> None:
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    fitted(data, tmp_path, seed=2 if harm == "of another fit" else 1)
    path = tmp_path / checkpoints.FILE
    if harm == "truncated":
        path.write_bytes(path.read_bytes()[:500])
    elif harm == "not a checkpoint":
        torch.save([1, 2], path)
    with caplog.at_level(logging.WARNING):
        again = fitted(data, tmp_path)
    assert "training starts anew" in caplog.text
    assert same(again, fitted(data))


def test_a_checkpoint_cannot_run_code(
    data: Subset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "harmed",)

    torch.save({"best": Harmful()}, tmp_path / checkpoints.FILE)
    fitted(data, tmp_path)
    assert not (tmp_path / "harmed").exists()
    assert "cannot be read" in caplog.text


def test_progress_is_reported_and_drawn(data: Subset, tmp_path: Path) -> None:
    reports: list[dict[str, float]] = []
    context = FitContext(
        seed=1, device=CPU, checkpoints=tmp_path, report=lambda **values: reports.append(values)
    )
    method = tiny()
    method.fit(data, context)
    assert {report["epoch"] for report in reports} == {1, 2, 3, 4}
    assert all(report["epochs"] == 4 for report in reports)
    assert reports[-1]["loss"] == method.history[-1]["loss"]
    assert reports[-1]["images_per_second"] > 0
    assert reports[-1]["progress"] == 4
    assert 0 < reports[0]["progress"] < 1
    events = list((tmp_path / "tensorboard").iterdir())
    assert len(events) == 1
    assert b"learning_rate" in events[0].read_bytes()


def test_history_and_selection_tell_what_happened(data: Subset) -> None:
    method = fitted(data, smoothness_weight=0.1)
    assert [entry["epoch"] for entry in method.history] == [1, 2, 3, 4]
    entry = method.history[0]
    assert entry["loss"] == pytest.approx(entry["l1"] + entry["smoothness"], rel=1e-6)
    assert entry["learning_rate"] == 0.01
    assert method.selection == "last epoch (4)"


def test_validation_keeps_the_best_epoch(data: Subset) -> None:
    # A rate this high makes later epochs worse than earlier ones.
    settings: dict[str, Any] = {
        "selection": "validation",
        "validation_share": 0.3,
        "optimizer": "sgd",
        "learning_rate": 1.0,
        "schedule": "constant",
        "epochs": 6,
    }
    method = fitted(data, **settings)
    values = [entry["validation_abs_rel"] for entry in method.history]
    best = values.index(min(values)) + 1
    assert 1 < best < 6
    assert method.selection == f"epoch {best} of 6: lowest abs_rel on 2 held-out training images"
    # The schedule is constant, so a fit of just as many epochs is the same up to there.
    assert same(method, fitted(data, **{**settings, "epochs": best}))


def test_a_loss_that_is_not_finite_stops_the_fit_at_once(data: Subset) -> None:
    class Broken(Tiny):
        def losses(self, net: nn.Module, step: StepOutput) -> dict[str, Tensor]:
            terms = super().losses(net, step)
            self.steps = getattr(self, "steps", 0) + 1
            if self.steps == 5:
                terms["l1"] = terms["l1"] * float("nan")
            return terms

    method = Broken(TrainingParams(epochs=4, batch_size=2, precision="bf16"), CPU, seed=1)
    with pytest.raises(MethodError) as stop:
        method.fit(data, FitContext(seed=1, device=CPU))
    assert str(stop.value) == (
        "method 'tiny': the loss is not finite at epoch 2, step 2 (l1 nan); lower learning_rate "
        "(now 0.0001) or set gradient_clip: 1.0 or set precision: float32"
    )


def test_a_loss_of_weight_zero_is_not_computed(
    data: Subset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Tensor:
        raise AssertionError("computed")

    monkeypatch.setattr(losses, "smoothness", refuse)
    monkeypatch.setattr(losses, "symmetry", refuse)
    fitted(data, mirror_pass=True)
    with pytest.raises(AssertionError, match="computed"):
        fitted(data, smoothness_weight=0.1)


def step_of(data: Subset, predictions: Tensor, **settings: Any) -> tuple[StepOutput, Tensor]:
    """A step of a method that predicts the same (1, 1, 1, 2) map whatever it sees."""
    raw = predictions.clone().requires_grad_()

    class Fixed(Tiny):
        def forward(self, net: nn.Module, batch: Batch) -> Tensor:
            return raw.expand(len(batch), 1, 1, 2)

    method = Fixed(TrainingParams(**settings), CPU, seed=1)
    return forward_passes(method, nn.Module(), batch_of(data, 1)), raw


def test_the_prediction_is_resized_with_aligned_corners(data: Subset) -> None:
    step, _ = step_of(data, torch.tensor([[[[1.0, 16.0]]]]))
    assert step.prediction.shape == (1, 1, 12, 16)
    assert step.prediction[0, 0, 3].tolist() == pytest.approx(list(range(1, 17)), rel=1e-5)


def test_the_mirror_pass_is_turned_back_and_averaged(data: Subset) -> None:
    step, _ = step_of(data, torch.tensor([[[[1.0, 3.0]]]]), mirror_pass=True)
    assert len(step.passes) == 2
    assert step.passes[1].flatten().tolist() == [3, 1]
    assert torch.allclose(step.prediction, torch.tensor(2.0))


def test_clamping_comes_before_averaging_and_stops_the_gradient(data: Subset) -> None:
    predictions = torch.tensor([[[[-4.0, 30.0]]]])
    step, raw = step_of(data, predictions, mirror_pass=True, clamp_predictions=True)
    assert torch.allclose(step.prediction, torch.tensor(5.0))
    step.prediction.sum().backward()
    assert raw.grad is not None
    assert (raw.grad == 0).all()
    step, raw = step_of(data, predictions)
    step.prediction.sum().backward()
    assert raw.grad is not None
    assert (raw.grad != 0).all()


def test_the_target_is_clipped_to_ten_metres() -> None:
    depth = torch.tensor([[[[0.0, 0.0005, 3.0, 14.0]]]])
    batch = Batch(torch.zeros(1, 3, 1, 4), Window.whole(1, 4), ("a",), depth, depth > 0)
    target, valid = ground_truth(batch)
    assert target.flatten().tolist()[2:] == [3, 10]
    assert valid.flatten().tolist() == [False, False, True, True]


def test_a_gradient_is_clipped(data: Subset) -> None:
    settings: dict[str, Any] = {"optimizer": "sgd", "momentum": 0, "weight_decay": 0, "epochs": 1}
    settings |= {"batch_size": 6, "learning_rate": 1.0, "augmentation": "none"}
    start = fitted(data, **settings, gradient_clip=1e-12)
    free = fitted(data, **settings)
    clipped = fitted(data, **settings, gradient_clip=0.01)

    def moved(method: Tiny) -> float:
        net, origin = method.network(), start.network()
        assert net is not None
        assert origin is not None
        pairs = zip(net.parameters(), origin.parameters(), strict=True)
        return float(sum((a - b).detach().square().sum() for a, b in pairs)) ** 0.5

    assert moved(clipped) == pytest.approx(0.01, rel=1e-3)
    assert moved(free) > 0.1


def test_bf16_trains_and_predicts_float32(data: Subset) -> None:
    method = fitted(data, precision="bf16")
    assert not same(method, fitted(data))
    assert method.predict(batch_of(data, 2)).dtype == torch.float32
    assert {tensor.dtype for tensor in state(method).values()} == {torch.float32, torch.int64}


def test_save_and_load_give_the_same_predictions(data: Subset, tmp_path: Path) -> None:
    method = fitted(data, seed=5)
    method.save(tmp_path)
    loaded = tiny()
    with torch.inference_mode():  # the harness loads on first use, while it is predicting
        loaded.load(tmp_path)
    batch = batch_of(data, 3)
    assert torch.equal(method.predict(batch), loaded.predict(batch))
    assert loaded.history == method.history
    assert loaded.selection == method.selection
    assert not any(tensor.is_inference() for tensor in state(loaded).values())


def test_a_fit_of_another_network_is_refused_in_one_line(data: Subset, tmp_path: Path) -> None:
    fitted(data).save(tmp_path)

    class Wider(Tiny):
        def build(self) -> nn.Module:
            return nn.Conv2d(3, 1, 1)

    with pytest.raises(MethodError, match="remove the fit to train again"):
        Wider(TrainingParams(), CPU).load(tmp_path)
    (tmp_path / "training.json").unlink()
    with pytest.raises(MethodError, match="cannot be read"):
        tiny().load(tmp_path)


def test_what_is_saved_is_only_what_was_trained(data: Subset, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    fitted(data).save(tmp_path)
    names = load_file(tmp_path / "trained.safetensors").keys()
    assert names
    assert all(name.startswith("trained.") for name in names)
    assert json.loads((tmp_path / "training.json").read_text())["selection"] == "last epoch (4)"


def test_the_batch_size_of_prediction_changes_nothing(data: Subset) -> None:
    method = fitted(data)
    batch = batch_of(data, 6)
    together = method.predict(batch)
    for index in range(6):
        one = Batch(batch.image[index : index + 1], batch.window, batch.ids[index : index + 1])
        assert torch.allclose(method.predict(one)[0], together[index], rtol=1e-6, atol=1e-6)


def test_predicting_before_a_fit_is_an_error(data: Subset) -> None:
    with pytest.raises(MethodError, match="before fit"):
        tiny().predict(batch_of(data, 1))


def test_fit_params_only() -> None:
    assert TrainingParams.predict_names() == frozenset()
