"""The report of a run: one page that shows what went in, what happened, and what came out.

    write_report(run_folder, title="Demo", stages=[("clean", manifest), ...])  ->  run_folder/report.html

In: `recipe.yaml`, `metrics.jsonl`, `events.jsonl` and `evaluation.json` of a run folder, as far as they are there, and the
manifests of the stages before it. Out: one HTML file without a script, a font or a picture from anywhere else, which opens
offline, on a phone, in the dark and on paper. A part that does not exist yet is named in a sentence. All text from recipes,
logs and models is escaped.
"""

from __future__ import annotations

import datetime
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from lugha.errors import InputError
from lugha.evaluation import results
from lugha.evaluation.results import Evaluation, read_evaluation
from lugha.models.shapes import parameter_count
from lugha.monitor import data_sections, score_sections
from lugha.monitor.alignment_sections import alignment_sections
from lugha.monitor.data_sections import Audit, Stages
from lugha.monitor.html import Html, join, table, tag
from lugha.monitor.plots import Curve, loss_curve
from lugha.recipe import Recipe
from lugha.recipe.load import load_recipe
from lugha.runs.files import write_text
from lugha.runs.folder import read_jsonl
from lugha.runs.rates import format_count, format_duration

Line = Mapping[str, Any]
FILE = "report.html"
_ATTEMPT_BEGINS = ("started", "resumed")


def write_report(run_folder: Path, *, title: str, stages: Stages, planted: Audit | None = None) -> Path:
    """Write `report.html` into a run folder, replacing an older one in one step.

    Args:
        title: heading of the page.
        stages: name and manifest of each stage before training, in order.
        planted: for a corpus whose dirt is known, what was planted and caught.

    Raises:
        InputError: there is no such folder, or one of the run's files is damaged.
    """
    if not run_folder.is_dir():
        raise InputError(f"{run_folder}: no such run folder.")
    recipe_file, evaluation_file = run_folder / "recipe.yaml", run_folder / results.FILE
    recipe = load_recipe(recipe_file) if recipe_file.is_file() else None
    evaluation = read_evaluation(evaluation_file) if evaluation_file.is_file() else None
    metrics, events = read_jsonl(run_folder / "metrics.jsonl"), read_jsonl(run_folder / "events.jsonl")
    body = join(
        [
            _header(title, run_folder.name, recipe, metrics, events, evaluation),
            *(_aligned_sections(run_folder, metrics) or _result_sections(evaluation)),
            _section("Training", training_curve(metrics)),
            *_data_sections(stages, planted),
            _section("The run", _events(events), _recipe(recipe_file)),
            _footer(),
        ]
    )
    template = (resources.files("lugha.monitor") / "report.html").read_text(encoding="utf-8")
    path = run_folder / FILE
    write_text(path, Template(template).substitute(title=join([title]), body=body))
    return path


def training_curve(metrics: Sequence[Line]) -> Html:
    """Loss over steps, drawn once for wide and once for narrow pages."""
    train, validation = _curve(metrics, "train"), _curve(metrics, "validation")
    if not train.x:
        return tag("p", "No training step has been logged yet.", class_="note")
    unit = "pair" if any("pairs" in line for line in metrics) else "token"
    drawings = (
        tag("div", Html(loss_curve(train, validation, width=width, height=height, unit=unit)), class_=f"chart {kind}")
        for kind, width, height in (("wide", 9.6, 3.6), ("narrow", 4.8, 3.4))
    )
    legend = [tag("li", "training, each logged value", class_="raw"), tag("li", "training, smoothed")]
    if validation.x:
        legend.append(tag("li", "validation", class_="second"))
    speed = "".join(_speed(metrics, unit) for unit in ("tokens", "pairs"))
    return join([tag("ul", *legend, class_="legend"), *drawings, tag("p", _loss_in_words(train, validation) + speed)])


def _speed(metrics: Sequence[Line], unit: str) -> str:
    speeds = [line[f"{unit}_per_second"] for line in metrics if line.get(f"{unit}_per_second")]
    return f" Median speed {format_count(_median(speeds))} {unit}/s." if speeds else ""


def training_seconds(metrics: Sequence[Line], events: Sequence[Line]) -> float:
    """Wall time of all attempts that made a run, without the pauses between them.

    It is the sum of the times from each line to the one before it; the time before an attempt begins is nobody's.
    """
    begins = [(line["time"], True) for line in events if line.get("event") in _ATTEMPT_BEGINS]
    moments = sorted([*begins, *((line["time"], False) for line in metrics if "time" in line)])
    pairs = itertools.pairwise(moments)
    return float(sum(later - earlier for (earlier, _), (later, begins_attempt) in pairs if not begins_attempt))


def _header(
    title: str,
    run_id: str,
    recipe: Recipe | None,
    metrics: Sequence[Line],
    events: Sequence[Line],
    evaluation: Evaluation | None,
) -> Html:
    figures: dict[str, str] = {}
    if evaluation is not None or recipe is not None:
        parameters = evaluation.parameters if evaluation is not None else parameter_count(recipe.model) if recipe else 0
        figures["Parameters"] = format_count(parameters)
    train, validation = _curve(metrics, "train"), _curve(metrics, "validation")
    if train.x:
        figures["Steps"] = f"{train.x[-1]:,.0f}"
        for unit, name in (("tokens", "Target tokens"), ("pairs", "Preferences")):
            if seen := [line[unit] for line in metrics if unit in line]:
                figures[name] = format_count(max(seen))
        figures["Training time"] = format_duration(training_seconds(metrics, events))
    if validation.x:
        figures["Validation loss"] = f"{validation.y[-1]:.3f}"
    if evaluation is not None:
        if (mean := score_sections.mean_chrfpp(evaluation)) is not None:
            value, directions = mean
            figures["chrF++" if directions == 1 else f"chrF++, mean of {directions}"] = f"{value:.1f}"
        if (bits := score_sections.overall_bits_per_byte(evaluation)) is not None:
            figures["Bits per byte"] = f"{bits:.3f}"
    tiles = (tag("div", tag("dt", name), tag("dd", value)) for name, value in figures.items())
    description = [tag("p", recipe.description)] if recipe is not None and recipe.description else []
    name = f"Recipe {recipe.name}" if recipe is not None else "Report of a run"
    return tag(
        "header",
        tag("p", name, class_="kicker"),
        tag("h1", title),
        tag("p", run_id, class_="run"),
        *description,
        *([tag("dl", *tiles, class_="key")] if figures else []),
    )


def _aligned_sections(run_folder: Path, metrics: Sequence[Line]) -> list[Html]:
    return [_section(heading, content) for heading, content in alignment_sections(run_folder, metrics)]


def _result_sections(evaluation: Evaluation | None) -> list[Html]:
    if evaluation is None:
        return [_section("Scores", tag("p", "This run has not been evaluated yet.", class_="note"))]
    sections = []
    if evaluation.translation:
        sections.append(_section("Scores", score_sections.translation_scores(evaluation)))
        sections.append(_section("Failures", score_sections.output_checks(evaluation)))
    if evaluation.held_out:
        sections.append(_section("Likelihood of held-out text", score_sections.likelihood(evaluation)))
    if evaluation.samples or evaluation.generations:
        sections.append(_section("Samples", score_sections.samples(evaluation)))
    return sections


def _data_sections(stages: Stages, planted: Audit | None) -> list[Html]:
    sections = [_section("Data", data_sections.funnel(stages))]
    if planted is not None:
        sections.append(_section("Planted and caught", data_sections.planted_and_caught(planted)))
    if (measured := data_sections.fertility(stages)) is not None:
        sections.append(_section("Tokenizer", measured))
    return sections


def _events(events: Sequence[Line]) -> Html:
    if not events:
        return tag("p", "No event has been logged yet.", class_="note")
    counts = Counter(str(line.get("event", "event")) for line in events)
    told = ", ".join(name if count == 1 else f"{name} {count} times" for name, count in counts.items())
    rows = [(_moment(line.get("time")), str(line.get("event", "event")), _values(line)) for line in events]
    listed = table("Times are UTC.", ("Time", "Event", "Details"), rows, text_columns=(0, 1, 2))
    return tag("details", tag("summary", f"Events: {told}"), listed)


def _recipe(path: Path) -> Html:
    if not path.is_file():
        return tag("p", "The run folder has no recipe.yaml.", class_="note")
    return tag("details", tag("summary", "The whole recipe"), tag("pre", path.read_text(encoding="utf-8"), tabindex="0"))


def _section(heading: str, *content: str) -> Html:
    return tag("section", tag("h2", heading), *content)


def _footer() -> Html:
    now = datetime.datetime.now(datetime.UTC).strftime("%d %B %Y, %H:%M UTC")
    return tag("footer", f"Written by lugha on {now}. Everything on this page was measured; nothing is projected.")


def _curve(metrics: Sequence[Line], kind: str) -> Curve:
    lines = [line for line in metrics if line.get("kind") == kind and "step" in line and "loss" in line]
    return Curve([line["step"] for line in lines], [line["loss"] for line in lines])


def _loss_in_words(train: Curve, validation: Curve) -> str:
    """The curve's message for those who do not see it."""
    first, last = f"{train.y[0]:.3f} at step {train.x[0]:,.0f}", f"{train.y[-1]:.3f} at step {train.x[-1]:,.0f}"
    held_out = f"; the last validation loss is {validation.y[-1]:.3f} nats per token." if validation.x else "."
    return f"Training loss went from {first} to {last}{held_out}"


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def _moment(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")


def _values(line: Line) -> str:
    """The plain values of an event; digests and other nested records are for programs."""
    plain = {k: v for k, v in line.items() if k not in ("time", "event") and not isinstance(v, dict | list)}
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in plain.items())
