from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from bench.training.schedules import rate_factor
from bench.training.trained_method import TrainingParams


def factors(epochs: int, **params: Any) -> list[float]:
    settings = TrainingParams(epochs=epochs, **params)
    return [rate_factor(settings, epoch) for epoch in range(1, epochs + 1)]


def test_constant() -> None:
    assert factors(3, schedule="constant") == [1, 1, 1]


def test_step_falls_after_each_multiple() -> None:
    assert factors(7, schedule="step", step_epochs=3) == pytest.approx(
        [1, 1, 1, 0.1, 0.1, 0.1, 0.01]
    )


def test_the_studys_coarse_schedule_falls_every_epoch() -> None:
    schedule = {"schedule": "step", "step_epochs": [1, 2, 3, 4, 5, 10, 15, 20]}
    assert factors(4, **schedule) == pytest.approx([1, 0.1, 0.01, 0.001])


def test_multistep_falls_after_the_listed_epochs_only() -> None:
    assert factors(5, schedule="multistep", step_epochs=[2, 3], step_gamma=0.5) == [
        1,
        1,
        0.5,
        0.25,
        0.25,
    ]


def test_cosine_begins_at_the_full_rate_and_never_reaches_zero() -> None:
    expected = [0.5 * (1 + math.cos(math.pi * share / 4)) for share in range(4)]
    assert factors(4, schedule="cosine") == pytest.approx(expected)
    assert expected[0] == 1
    assert expected[-1] > 0


def test_warmup_rises_linearly_and_hands_over_to_the_schedule() -> None:
    assert factors(4, schedule="constant", warmup_epochs=3) == [0.25, 0.5, 0.75, 1]
    assert factors(3, schedule="cosine", warmup_epochs=1) == pytest.approx([0.5, 1, 0.5])


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"epochs": 2, "warmup_epochs": 2}, "warmup_epochs (2) must be fewer than epochs (2)"),
        ({"symmetry_weight": 0.1}, "mirror_pass: true"),
        ({"learning_rate": 0}, "greater than 0"),
        ({"learning_rate": math.inf}, "finite"),
        ({"step_epochs": []}, "at least 1"),
        ({"step_epochs": [0]}, "greater than or equal to 1"),
        ({"batch_size": 0}, "greater than or equal to 1"),
        ({"validation_share": 1.0}, "less than 1"),
        ({"optimiser": "sgd"}, "Extra inputs"),
    ],
)
def test_bad_parameters_are_refused(params: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        TrainingParams(**params)
    assert said in str(refusal.value)


def test_every_parameter_is_described() -> None:
    fields = TrainingParams.model_fields
    assert [name for name, field in fields.items() if not field.description] == []
