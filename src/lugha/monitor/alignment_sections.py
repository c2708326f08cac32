"""The report's section about an alignment: the model before and after it on the same held-out examples."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lugha.monitor.html import Html, join, table, tag
from lugha.monitor.plots import Curve, measure_curve

INSTRUCTION, PREFERENCE = "instruction.json", "preference.json"  # of a run folder; pipeline/comparing.py writes them
_MEASURES = (
    ("accuracy", "ln p of the chosen answer is higher"),
    ("accuracy_per_token", "the same per token"),
    ("reward_accuracy", "its reward is higher"),
    ("margin", "how much more ln p of it rose, nats"),
)
Line = Mapping[str, Any]


def alignment_sections(run_folder: Path, metrics: Sequence[Line]) -> list[tuple[str, Html]]:
    """(heading, content) of what an alignment left in the run folder; nothing for other runs."""
    sections = []
    if (run_folder / INSTRUCTION).is_file():
        found = json.loads((run_folder / INSTRUCTION).read_text(encoding="utf-8"))
        sections.append(("Before and after", _instruction(found)))
    if (run_folder / PREFERENCE).is_file():
        found = json.loads((run_folder / PREFERENCE).read_text(encoding="utf-8"))
        sections.append(("Before and after", _preference(found)))
    if any("margin" in line for line in metrics):
        sections.append(("Margin", _margin(metrics)))
    return sections


def _instruction(found: Line) -> Html:
    rows = [(name, f"{found[name]['loss']:.4f}", f"{found[name]['tokens']:,}") for name in ("before", "after")]
    return table("Held-out responses", ("model", "loss, nats per token", "tokens"), rows)


def _preference(found: Line) -> Html:
    before, after = found["before"], found["after"]
    rows = []
    for key, what in _MEASURES:
        gain = found.get(f"{key}_gain")
        rows.append((what, *(_estimate(value) for value in (before[key], after[key], gain))))
    caption = f"{after['pairs']:,} held-out pairs of {after['prompts']:,} prompts"
    note = tag(
        "p", "Intervals of 95 % by a bootstrap over prompts. Rewards are measured from the model before.", class_="note"
    )
    return join([table(caption, ("", "before", "after", "gain"), rows), note])


def _estimate(found: Line | None) -> Html | str:
    if found is None:
        return "–"
    return join([f"{found['value']:.3f}", tag("span", f"{found['low']:.3f} to {found['high']:.3f}", class_="interval")])


def _margin(metrics: Sequence[Line]) -> Html:
    """Mean margin over the steps, drawn once for wide and once for narrow pages."""
    train, validation = (_curve(line for line in metrics if line.get("kind") == kind) for kind in ("train", "validation"))
    label = "margin, beta x nats"
    drawings = (
        tag("div", Html(measure_curve(train, validation, label, width=width, height=height)), class_=f"chart {kind}")
        for kind, width, height in (("wide", 9.6, 3.0), ("narrow", 4.8, 3.0))
    )
    return join(drawings)


def _curve(lines: Iterable[Line]) -> Curve:
    points = [(float(line["step"]), float(line["margin"])) for line in lines if "margin" in line]
    return Curve([x for x, _ in points], [y for _, y in points])
