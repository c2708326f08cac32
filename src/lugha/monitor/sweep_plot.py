"""The plot of a sweep: for each key of the grid, score against value; a point for each run, a line through the means.

    sweep_plot([Point({"train.lr": 1e-3}, 1.31), ...], measure="bits/byte")  ->  SVG

A line joins the means of the variants that differ in the panel's key alone, so that the other keys do not blur it; where
there are more such lines than an eye can follow, one line of means over all stands for them. Values that are positive and
spread over a factor of three or more stand on a logarithmic axis, as learning rates want. Equal data give equal bytes.
"""

from __future__ import annotations

import io
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _RULE = "#3d4450", "#d9dde3"
# Okabe and Ito's palette (2008): told apart by readers who do not see red and green as different.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9")
_LOG_SPREAD = 3.0
_PANEL_WIDTH, _PANEL_HEIGHT = 4.6, 3.6  # inches


@dataclass(frozen=True)
class Point:
    """One run: the values of the grid's keys, and its score; lower is better."""

    values: Mapping[str, Any]
    score: float


def sweep_plot(points: Sequence[Point], *, measure: str, title: str = "") -> str:
    """SVG with one panel for each key.

    Args:
        points: at least one; all with the same keys.
        measure: name and unit of the score, on the vertical axis.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "lugha-sweep", "font.size": 10}):
        figure = _figure(points, measure, title)
        FigureCanvasSVG(figure)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    return stream.getvalue()


def _figure(points: Sequence[Point], measure: str, title: str) -> Figure:
    from matplotlib.figure import Figure

    keys = list(points[0].values)
    figure = Figure(figsize=(_PANEL_WIDTH * len(keys), _PANEL_HEIGHT), layout="constrained")
    panels = figure.subplots(1, len(keys), sharey=True, squeeze=False)[0]
    for axes, key in zip(panels, keys, strict=True):
        _draw(axes, points, key)
    panels[0].set_ylabel(measure, color=_INK)
    if title:
        figure.suptitle(title, color=_INK, fontsize=10)
    return figure


def _draw(axes: Axes, points: Sequence[Point], key: str) -> None:
    place = _places([p.values[key] for p in points], axes)
    lines = _lines(points, key)
    for number, (label, members) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        by_place: dict[float, list[float]] = {}
        for point in members:
            by_place.setdefault(place[repr(point.values[key])], []).append(point.score)
        for x, scores in by_place.items():
            axes.plot([x] * len(scores), scores, linestyle="", marker="o", markersize=4, color=colour, alpha=0.55)
        xs = sorted(by_place)
        means = [statistics.fmean(by_place[x]) for x in xs]
        axes.plot(xs, means, color=colour, linewidth=1.6, marker="_", markersize=12, label=label)
    if len(lines) > 1:
        axes.legend(frameon=False, fontsize=8, labelcolor=_INK)
    axes.set_xlabel(key, color=_INK)
    axes.tick_params(colors=_INK, length=0, which="both")
    axes.grid(axis="y", color=_RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_RULE)


def _lines(points: Sequence[Point], key: str) -> dict[str, list[Point]]:
    """Points by the values of the other keys; all together where that makes more lines than there are colours."""
    lines: dict[str, list[Point]] = {}
    for point in points:
        others = ", ".join(f"{k.rpartition('.')[2]} {_shown(v)}" for k, v in point.values.items() if k != key)
        lines.setdefault(others, []).append(point)
    return lines if len(lines) <= len(_COLOURS) else {"mean over the other keys": list(points)}


def _places(values: Sequence[Any], axes: Axes) -> dict[str, float]:
    """Where each value stands on the horizontal axis: numbers by size, all else side by side; labels each of them."""
    different = list({repr(v): v for v in values}.values())
    if any(isinstance(v, bool) or not isinstance(v, int | float) for v in different):
        places = {repr(v): float(i) for i, v in enumerate(different)}
    else:
        different.sort()
        places = {repr(v): float(v) for v in different}
        if different[0] > 0 and different[-1] / different[0] >= _LOG_SPREAD:
            axes.set_xscale("log")
    axes.set_xticks([places[repr(v)] for v in different], [_shown(v) for v in different])
    axes.minorticks_off()
    axes.margins(x=0.12)
    return places


def _shown(value: Any) -> str:
    if isinstance(value, float) and value and not 0.01 <= abs(value) < 10_000:
        exponent = math.floor(math.log10(abs(value)))
        return f"{value / 10**exponent:.4g}e{exponent}"
    return f"{value:g}" if isinstance(value, float) else str(value)
