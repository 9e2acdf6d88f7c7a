"""Reading weights files and putting them into networks.

Files may come from anywhere, so no pickle is run.

torch is imported by the functions, so that this module can be reached while planning.
"""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import DataError, MethodError

if TYPE_CHECKING:
    from torch import Tensor, nn

_WRAPPERS = ("state_dict", "model")
_PREFIX = "module."
_SHOWN = 3


def load_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict: safetensors, torch's own format, or a TorchScript archive (OpenAI's).

    Wrappers (``{"state_dict": …}``, ``{"model": …}``) and the prefix ``module.`` are taken off;
    floating-point tensors become float32. Everything is on the CPU.

    Raises:
        DataError: The file cannot be read, is none of these, or is a pickle that would run code.
    """
    import torch

    state = _unwrapped(_read(path), path)
    if all(name.startswith(_PREFIX) for name in state):
        state = {name.removeprefix(_PREFIX): tensor for name, tensor in state.items()}
    return {
        name: tensor.to(torch.float32) if tensor.is_floating_point() else tensor
        for name, tensor in state.items()
    }


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive, as OpenAI's CLIP weights are."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def load_into(
    network: nn.Module, state: Mapping[str, Tensor], what: str, ignore: Iterable[str] = ()
) -> None:
    """Put a state dict into a network of exactly that architecture.

    Batch norm's ``num_batches_tracked`` may be missing: evaluation does not use it.

    Args:
        network: Where to.
        state: Tensors by name.
        what: How to call state and network in the error.
        ignore: Names in `state` that are not tensors of the network.

    Raises:
        MethodError: Tensors are missing, unexpected or of another shape.
    """
    wanted = network.state_dict()
    given = {name: tensor for name, tensor in state.items() if name not in set(ignore)}
    counters = {name for name in wanted if name.endswith("num_batches_tracked")}
    missing = [name for name in wanted if name not in given and name not in counters]
    unexpected = [name for name in given if name not in wanted]
    misshapen = [
        f"{name} is {_shape(tensor)}, not {_shape(wanted[name])}"
        for name, tensor in given.items()
        if name in wanted and tensor.shape != wanted[name].shape
    ]
    problems = [
        f"{len(names)} {kind} ({', '.join(names[:_SHOWN])}{', …' if len(names) > _SHOWN else ''})"
        for kind, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", misshapen),
        )
        if names
    ]
    if problems:
        raise MethodError(
            f"{what}: these weights are of another architecture: {'; '.join(problems)}"
        )
    network.load_state_dict(given, strict=False)


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a scalar"


def _read(path: Path) -> object:
    try:
        with path.open("rb") as stream:
            stream.read(1)
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        return _read_torchscript(path) if is_torchscript(path) else _read_torch(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"cannot read weights '{path}': {reason}") from error


def _read_safetensors(path: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise DataError(f"weights '{path}' are not whole safetensors: {_line(error)}") from error


def _read_torchscript(path: Path) -> object:
    import torch

    try:
        with warnings.catch_warnings():
            # torch means to retire TorchScript; OpenAI published nothing else.
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            archive = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
            return dict(archive.state_dict())
    except RuntimeError as error:
        raise DataError(f"weights '{path}' are not a whole TorchScript archive") from error


def _read_torch(path: Path) -> object:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if not _is_pickle(path):
            raise DataError(f"'{path}' is not a weights file") from error
        raise DataError(
            f"weights '{path}' are refused: a pickle of more than tensors, which could run code "
            "when loaded; save the state dict alone (torch.save(model.state_dict(), …)) or as "
            "safetensors"
        ) from error
    # Broken files end in whatever the unpickler trips over.
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise DataError(
            f"'{path}' is not a weights file, or is cut short: {_line(error)}"
        ) from error


def _is_pickle(path: Path) -> bool:
    """Whether it is torch's zip format or a bare pickle of protocol 2 or later."""
    with path.open("rb") as stream:
        return stream.read(2).startswith((b"PK", b"\x80"))


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _unwrapped(content: Any, path: Path) -> dict[str, Tensor]:
    import torch

    while isinstance(content, Mapping):
        inner = next((content[key] for key in _WRAPPERS if _is_mapping(content.get(key))), None)
        if inner is None:
            break
        content = inner
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(value, torch.Tensor) for value in content.values())
    ):
        raise DataError(f"weights '{path}' hold no state dict (names with tensors)")
    return {str(name): tensor for name, tensor in content.items()}


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)
