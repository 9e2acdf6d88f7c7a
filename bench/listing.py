"""`bench list` and `bench plan`: what there is, and what is to do, as tables and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.method import Method
from bench.plugins import Registry
from bench.suite import builtin_suites

if TYPE_CHECKING:
    from rich.console import Console

    from bench.plan import Plan

Catalogue = Mapping[str, Sequence[Mapping[str, Any]]]


def catalogue(registry: Registry) -> dict[str, list[dict[str, Any]]]:
    """Everything a suite can name, by kind; the stable form of ``bench list --json``."""
    return {
        "methods": [_method(registry, name) for name in sorted(registry.methods)],
        "datasets": [
            {
                "name": name,
                "summary": registry.datasets[name].summary,
                "synthetic": registry.datasets[name].synthetic,
                "plugin": registry.plugin_of("datasets", name).name,
                "params": _fields(registry.datasets[name].Params),
            }
            for name in sorted(registry.datasets)
        ],
        "protocols": [
            {
                "name": name,
                "summary": registry.protocols[name].description,
                "version": registry.protocols[name].version,
                "sha256": registry.protocols[name].sha256,
                "settings": registry.protocols[name].settings,
                "source": registry.protocols[name].source,
            }
            for name in registry.protocols
        ],
        "metrics": [
            {
                "name": metric.name,
                "summary": metric.formula,
                "unit": metric.unit,
                "higher_is_better": metric.higher_is_better,
                "source": metric.source,
            }
            for metric in registry.metrics.values()
        ],
        "suites": [
            {"name": name, "summary": _described(path), "path": str(path)}
            for name, path in sorted(builtin_suites().items())
        ],
        "plugins": [
            {"name": item.name, "summary": _offers(item.offers), "origin": item.origin}
            for item in registry.plugins.values()
        ]
        + [
            {"name": item.name, "summary": f"BROKEN: {item.reason}", "origin": item.origin}
            for item in registry.broken
        ],
    }


def _method(registry: Registry, name: str) -> dict[str, Any]:
    method: type[Method] = registry.methods[name]
    predict = method.Params.predict_names()
    return {
        "name": name,
        "summary": method.summary,
        "output": method.output,
        "fitted": method.fitted,
        "seeded": method.seeded,
        "paper": method.paper,
        "plugin": registry.plugin_of("methods", name).name,
        "params": [
            {**entry, "stage": "predict" if entry["name"] in predict else "fit"}
            for entry in _fields(method.Params)
        ],
    }


def _fields(model: Any) -> list[dict[str, Any]]:
    schema = model.model_json_schema()
    required = set(schema.get("required", ()))
    return [
        {
            "name": name,
            "default": "required" if name in required else entry.get("default"),
            "description": " ".join(entry.get("description", "").split()),
        }
        for name, entry in schema.get("properties", {}).items()
    ]


def _offers(offers: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in offers.items())


def _described(suite: Path) -> str:
    """What a suite says of itself; a broken one is told by whoever runs it."""
    import yaml

    try:
        content = yaml.safe_load(suite.read_bytes())
    except yaml.YAMLError:
        return ""
    return str(content.get("description", "")) if isinstance(content, dict) else ""


def print_catalogue(console: Console, found: Catalogue, *, full: bool) -> None:
    """Show names and summaries; with `full`, also parameters and settings."""
    from rich.table import Table

    for kind, entries in found.items():
        console.print(kind, style="bold")
        table = Table(box=None, show_header=False, padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for entry in entries:
            table.add_row(_plain(entry["name"]), _plain(entry["summary"]))
            for line in _details(entry) if full else ():
                table.add_row("", _plain(line), style="dim")
        if not entries:
            table.add_row("none", "")
        console.print(table)


def _plain(text: str) -> Any:
    from rich.text import Text

    return Text(text)


def _details(entry: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{item['name']} = {item['default']}"
        + (" (predict)" if item.get("stage") == "predict" else "")
        + (f": {item['description']}" if item["description"] else "")
        for item in entry.get("params", ())
    ]
    lines += [f"{key}: {value}" for key, value in entry.get("settings", {}).items()]
    lines += [
        f"{key}: {entry[key]}"
        for key in ("version", "sha256", "unit", "source", "paper", "origin", "path")
        if entry.get(key)
    ]
    return lines


def print_plan(console: Console, plan: Plan) -> None:
    """Show the cells of a plan with their states."""
    from rich.table import Table

    train, test = plan.train, plan.test
    console.print(
        f"suite '{plan.suite.name}' on {test.dataset.name}: {len(train)} training images "
        f"({train.variant} depth), {len(test)} of {test.of} test images ({test.variant} depth); "
        f"protocols: {', '.join(item.name for item in plan.suite.protocols)}",
        highlight=False,
        markup=False,
    )
    table = Table(box=None, pad_edge=False)
    for column in ("state", "cell", "seed", "fit key", "missing", "why"):
        table.add_column(column, overflow="fold")
    for cell in plan.cells:
        seed = "—" if cell.spec.seed is None else str(cell.spec.seed)
        missing = ", ".join(item.protocol.name for item in cell.missing)
        table.add_row(
            *map(
                _plain,
                (cell.state, cell.spec.label, seed, cell.keys.fit[:12], missing, cell.reason),
            )
        )
    console.print(table)
    counts = ", ".join(
        f"{plan.count(state)} {state}" for state in ("done", "to do", "stale", "blocked")
    )
    console.print(f"{len(plan.cells)} cells: {counts}", highlight=False)
