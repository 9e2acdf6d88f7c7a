from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bench.encoders.state import is_torchscript, load_into, load_state
from bench.errors import DataError, MethodError


@pytest.fixture
def state() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {
        "layer.weight": torch.randn(3, 2, generator=generator),
        "norm.num_batches_tracked": torch.tensor(7),
    }


def assert_same(read: dict[str, Tensor], written: dict[str, Tensor]) -> None:
    assert read.keys() == written.keys()
    for name, tensor in written.items():
        assert torch.equal(read[name], tensor)


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state},
        lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
        lambda state: {"state_dict": {f"module.{name}": value for name, value in state.items()}},
    ],
    ids=["plain", "state_dict", "model", "module.", "state_dict and module."],
)
def test_state_dicts_are_read_however_wrapped(
    wrapped: Any, state: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(wrapped(state), tmp_path / "w.pt")
    assert_same(load_state(tmp_path / "w.pt"), state)


def test_safetensors_are_read(state: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(state, tmp_path / "w.safetensors")
    assert_same(load_state(tmp_path / "w.safetensors"), state)


def test_half_precision_becomes_float32_and_integers_stay(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(
        {name: t.half() if t.is_floating_point() else t for name, t in state.items()},
        tmp_path / "w.pt",
    )
    read = load_state(tmp_path / "w.pt")
    assert read["layer.weight"].dtype == torch.float32
    assert torch.equal(read["layer.weight"], state["layer.weight"].half().float())
    assert read["norm.num_batches_tracked"].dtype == torch.int64


def test_torchscript_archives_are_read_without_a_warning(tmp_path: Path) -> None:
    network = nn.Linear(3, 2).half()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(network).save(str(tmp_path / "w.pt"))
    assert is_torchscript(tmp_path / "w.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = load_state(tmp_path / "w.pt")
    assert torch.equal(read["weight"], network.weight.float())


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("ran"),))


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(
    legacy: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if legacy:
        (tmp_path / "w.pt").write_bytes(pickle.dumps({"layer.weight": Evil()}))
    else:
        torch.save({"layer.weight": Evil()}, tmp_path / "w.pt")
    with pytest.raises(DataError, match="refused: a pickle of more than tensors") as caught:
        load_state(tmp_path / "w.pt")
    assert not (tmp_path / "ran").exists()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors", "w.bin"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"a text file\n"])
def test_files_that_are_no_weights_are_refused(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name) as caught:
        load_state(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_a_file_cut_short_is_refused(name: str, state: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / name
    if name.endswith(".pt"):
        torch.save(state, path)
    else:
        save_file(state, path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=name):
        load_state(path)


@pytest.mark.parametrize("content", [[1, 2], {}, {"epoch": 3}, torch.zeros(2)])
def test_a_file_without_a_state_dict_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(DataError, match="no state dict"):
        load_state(tmp_path / "w.pt")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.pt': No such file"):
        load_state(tmp_path / "none.pt")


def test_weights_of_another_architecture_are_told_tensor_by_tensor() -> None:
    network = nn.Sequential(*[nn.Linear(2, 2) for _ in range(3)])
    state = {"0.weight": torch.zeros(4, 2), "0.bias": torch.zeros(2), "head.weight": torch.ones(1)}
    with pytest.raises(MethodError) as caught:
        load_into(network, state, "weights 'w.pt' for RN50")
    assert str(caught.value) == (
        "weights 'w.pt' for RN50: these weights are of another architecture: "
        "4 missing (1.weight, 1.bias, 2.weight, …); 1 unexpected (head.weight); "
        "1 of another shape (0.weight is 4×2, not 2×2)"
    )


def test_batch_norm_counters_may_be_missing_and_extras_ignored() -> None:
    network = nn.BatchNorm2d(2)
    state = {
        name: value + 1
        for name, value in network.state_dict().items()
        if name != "num_batches_tracked"
    }
    load_into(network, state | {"vocab_size": torch.tensor(3)}, "w", ignore=("vocab_size",))
    assert network.running_mean is not None
    assert network.running_mean.tolist() == [1, 1]
