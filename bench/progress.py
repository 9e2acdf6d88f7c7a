"""Showing a run as it happens: one live line a cell, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from bench.events import Event

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

PLAIN_SECONDS = 10.0
HEADLINE = ("abs_rel", "delta1", "rmse")


class Watcher:
    """Counts what happened and shows it. Use as a context manager; call it with each event."""

    def __init__(self, console: Console, cells: int) -> None:
        self.failed: list[Event] = []
        self.blocked: list[Event] = []
        self.done: list[Event] = []
        self._console = console
        self._cells = cells
        live = console.is_terminal and not console.is_dumb_terminal
        self._view: _Live | _Plain = _Live(console) if live else _Plain(console)

    def __enter__(self) -> Watcher:
        self._view.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._view.close()

    def __call__(self, event: Event) -> None:
        """Take up one event."""
        finished = {"failed": self.failed, "blocked": self.blocked, "done": self.done}
        if event.kind in finished:
            finished[event.kind].append(event)
            count = len(self.failed) + len(self.blocked) + len(self.done)
            self._view.finish(event, f"[{count}/{self._cells}] {_verdict(event)}")
        else:
            self._view.update(event)


class _Live:
    """rich's live display."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._progress: Progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[label]}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[news]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._clock = _Clock()

    def open(self) -> None:
        self._progress.start()

    def close(self) -> None:
        self._progress.stop()

    def update(self, event: Event) -> None:
        if event.cell not in self._tasks:
            self._tasks[event.cell] = self._progress.add_task(
                "", label=event.label, news="", total=None
            )
        task = self._tasks[event.cell]
        done, total = _share(event)
        news = _news(event, self._clock)
        self._progress.update(task, completed=done, total=total, news=news)

    def finish(self, event: Event, verdict: str) -> None:
        task = self._tasks.pop(event.cell, None)
        if task is not None:
            self._progress.remove_task(task)
        self._progress.console.print(verdict, markup=False, highlight=False, soft_wrap=True)


class _Plain:
    """A line now and then, for logs and pipes."""

    def __init__(self, console: Console, now: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._now = now
        self._last = 0.0
        self._clock = _Clock()

    def open(self) -> None:
        self._last = self._now()

    def close(self) -> None:
        pass

    def update(self, event: Event) -> None:
        news = _news(event, self._clock)
        timely = self._now() - self._last >= PLAIN_SECONDS
        if event.kind in ("start", "note") or timely:
            self._say(f"{event.label}: {news}")

    def finish(self, event: Event, verdict: str) -> None:
        self._say(verdict)

    def _say(self, line: str) -> None:
        self._last = self._now()
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class _Clock:
    """Time left of each cell's fit or prediction, from the share that is done."""

    def __init__(self) -> None:
        self._begun: dict[tuple[str, str], float] = {}

    def left(self, event: Event) -> str:
        done, total = _share(event)
        begun = self._begun.setdefault((event.cell, event.kind), time.monotonic())
        elapsed = time.monotonic() - begun
        if not total or not done or done >= total or elapsed < 1:
            return ""
        seconds = round(elapsed * (total - done) / done)
        hours, rest = divmod(seconds, 3600)
        minutes, seconds = divmod(rest, 60)
        clock = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
        return f"{clock} left"


def _share(event: Event) -> tuple[float, float | None]:
    if event.kind == "fit" and "epochs" in event.data:
        return float(event.data.get("progress", event.data.get("epoch", 0))), event.data["epochs"]
    if event.kind == "predict":
        return event.data["done"], event.data["total"]
    return 0, None


def _news(event: Event, clock: _Clock) -> str:
    data = event.data
    if event.kind == "start":
        return f"started on {data['device']}"
    if event.kind == "note":
        return str(data["text"])
    left = clock.left(event)
    if event.kind == "predict":
        parts = [f"predict {data['done']}/{data['total']}", left]
    else:
        parts = [
            f"epoch {data['epoch']}/{data['epochs']}" if "epochs" in data else "fit",
            f"loss {data['loss']:.4f}" if "loss" in data else "",
            _rate(data["images_per_second"]) if "images_per_second" in data else "",
            left,
        ]
    return ", ".join(part for part in parts if part)


def _rate(images_per_second: float) -> str:
    digits = 0 if images_per_second >= 10 else 1 if images_per_second >= 1 else 2
    return f"{images_per_second:.{digits}f} images/s"


def _verdict(event: Event) -> str:
    if event.kind == "failed":
        return f"FAILED  {event.label}: {event.data['message']} (log: {event.data['log']})"
    if event.kind == "blocked":
        return f"BLOCKED {event.label}: {event.data['reason']}"
    if "scores" not in event.data:
        return f"done    {event.label}: {event.data['text']}"
    name, means = next(iter(event.data["scores"].items()))
    numbers = ", ".join(f"{metric} {means[metric]:.3f}" for metric in HEADLINE if metric in means)
    return f"done    {event.label}: {numbers} ({name})"
