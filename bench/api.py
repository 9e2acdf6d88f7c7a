"""bench from Python: the three calls a notebook needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bench.errors import BenchError, MethodError, UnknownNameError, suggestion
from bench.evaluate import checked_predict
from bench.method import Method
from bench.plugins import build_registry
from bench.runner import Options, RunResult, resolve_device
from bench.runner import run_suite as _run_suite
from bench.types import Batch, Window

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class DepthModel:
    """A method held ready to predict, outside any suite."""

    def __init__(self, method: Method) -> None:
        self.method = method

    def predict(
        self,
        images: Tensor | npt.NDArray[np.float32],
        intrinsics: Tensor | npt.NDArray[np.float32] | None = None,
    ) -> Tensor:
        """Predict depth.

        Args:
            images: (B, 3, H, W) float32 RGB in [0, 1]; a tensor or a numpy array.
            intrinsics: (B, 3, 3) camera matrices in pixels of the images, where methods use them.

        Returns:
            (B, 1, h, w) float32 on the method's own grid, raw: metres where its output is metric.

        Raises:
            MethodError: The images are not of that shape, type or range.
        """
        tensor = torch.as_tensor(images)
        _check_images(tensor)
        height, width = tensor.shape[2:]
        device = self.method.device
        batch = Batch(
            image=tensor.to(device),
            window=Window.whole(height, width),
            ids=tuple(str(index) for index in range(len(tensor))),
            intrinsics=None
            if intrinsics is None
            else torch.as_tensor(intrinsics, dtype=torch.float32).to(device),
        )
        with torch.no_grad():
            return checked_predict(self.method, batch)


def _check_images(images: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise MethodError(f"images have shape {tuple(images.shape)}; give (B, 3, H, W)")
    if images.dtype != torch.float32:
        raise MethodError(
            f"images are {images.dtype}; give float32 in [0, 1] (uint8: divide by 255)"
        )
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):
        raise MethodError(f"images lie in [{low:g}, {high:g}]; give values in [0, 1]")


def create_method(
    name: str,
    *,
    fit: str | Path | None = None,
    device: str = "auto",
    seed: int = 0,
    **params: Any,
) -> DepthModel:
    """Make a method ready to predict.

    Args:
        name: A registered method.
        fit: For methods that learn: the folder of a finished fit (``bench cache list`` names them).
        device: auto, cpu, cuda or cuda:N.
        seed: The seed of its random initialisation, where it has one.
        **params: Its parameters.

    Raises:
        UnknownNameError: No plugin registered the name.
        BenchError: The parameters are not valid, or the weights cannot be had.
    """
    from pydantic import ValidationError

    methods = build_registry().methods
    if name not in methods:
        raise UnknownNameError(f"unknown method '{name}'{suggestion(name, methods)}")
    cls = methods[name]
    try:
        checked = cls.Params.model_validate(params)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BenchError(f"method '{name}': {place}: {first['msg']}") from error
    for weights in cls.weights(checked):
        weights.fetch()
    method = cls(checked, torch.device(resolve_device(device)), seed)
    if cls.fitted:
        if fit is None:
            raise MethodError(
                f"method '{name}' learns from data: run it in a suite, then pass fit=FOLDER "
                "('bench cache list' names the folders of finished fits)"
            )
        folder = Path(fit)
        method.load(folder / "method" if (folder / "method").is_dir() else folder)
    return DepthModel(method)


def run_suite(path: str | Path, **options: Any) -> RunResult:
    """Make the records of a suite that do not exist yet, and the leaderboard.

    Args:
        path: A suite file, or the name of a built-in suite.
        **options: Fields of `bench.runner.Options`: records, out, device, sets, only, limit,
            executor, workers, force.

    Raises:
        BenchError: The suite cannot be run as written; nothing was run.
    """
    for name in ("records", "out"):
        if options.get(name) is not None:
            options[name] = Path(options[name])
    return _run_suite(path, Options(**options))
