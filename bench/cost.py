"""What a cell costs: time, memory, parameters, multiply-accumulates."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

    from bench.method import Method
    from bench.types import Batch

LATENCY_REPEATS = 5


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given, so that a clock read afterwards is true."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


class PeakMemory:
    """Peak memory since `start`: of the GPU's allocator, or of this process on a CPU (Linux)."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def start(self) -> None:
        """Forget earlier peaks."""
        import torch

        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            return
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            self._unknown = True

    _unknown = False

    def bytes(self) -> int | None:
        """The peak in bytes; None where the system does not tell."""
        import torch

        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self._device))
        if self._unknown:
            return None
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return None


def parameter_counts(network: nn.Module | None) -> tuple[int | None, int | None]:
    """All parameters and the trained ones (``requires_grad``)."""
    if network is None:
        return None, None
    parameters = list(network.parameters())
    trained = sum(item.numel() for item in parameters if item.requires_grad)
    return sum(item.numel() for item in parameters), trained


def latency_ms(method: Method, batch: Batch) -> float:
    """Median wall-clock time of one prediction in milliseconds, after one to warm up."""
    times = []
    for _ in range(LATENCY_REPEATS + 1):
        synchronise(method.device)
        begin = time.perf_counter()
        method.predict(batch)
        synchronise(method.device)
        times.append(time.perf_counter() - begin)
    return 1000 * statistics.median(times[1:])


def multiply_accumulates(method: Method, batch: Batch) -> int | None:
    """Multiply-accumulates of one prediction: half of what torch's FLOP counter counts."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        method.predict(batch)
    return counter.get_total_flops() // 2 or None
