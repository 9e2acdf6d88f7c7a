from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from bench.events import Event
from bench.progress import Watcher


def watched(*events: Event, terminal: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=60, color_system=None)
    with Watcher(console, cells=2) as watcher:
        for event in events:
            watcher(event)
    return out.getvalue()


def event(kind: Any, **data: Any) -> Event:
    return Event(kind, "c" * 64, "A [red]label[/red]", data)


DONE = event("done", record="r", scores={"full": {"abs_rel": 0.1234, "delta1": 0.5, "rmse": 1}})


@pytest.mark.parametrize("terminal", [False, True])
def test_each_cell_ends_in_one_line_that_is_never_wrapped_or_styled(terminal: bool) -> None:
    failed = event("failed", message="x" * 100, log="/log")
    shown = watched(event("start", device="cpu"), DONE, failed, terminal=terminal)
    assert "[1/2] done    A [red]label[/red]: abs_rel 0.123, delta1 0.500, rmse 1.000" in shown
    assert f"[2/2] FAILED  A [red]label[/red]: {'x' * 100} (log: /log)" in shown


def test_plain_lines_come_now_and_then_not_for_every_step() -> None:
    steps = [event("fit", epoch=1, epochs=2, loss=0.5, images_per_second=3.0)] * 50
    assert watched(event("start", device="cpu"), *steps, DONE).count("\n") == 2


def test_a_terminal_sees_epoch_loss_and_speed() -> None:
    step = event("fit", epoch=1, epochs=2, loss=0.51, images_per_second=0.25)
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120, color_system=None)
    with Watcher(console, cells=1) as watcher:
        watcher(step)
        assert isinstance(out.getvalue(), str)
    assert "epoch 1/2, loss 0.5100, 0.25 images/s" in out.getvalue()


def test_what_happened_is_counted() -> None:
    console = Console(quiet=True)
    with Watcher(console, cells=3) as watcher:
        for item in (DONE, event("failed", message="m", log="l"), event("blocked", reason="r")):
            watcher(item)
    assert [len(watcher.done), len(watcher.failed), len(watcher.blocked)] == [1, 1, 1]
