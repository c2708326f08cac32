"""Curves as inline SVG that takes its colours and its type from the page.

matplotlib lays the figure out; afterwards its colours are replaced by the page's CSS variables, so that one drawing serves
the light and the dark page, and text stays text. Equal data give equal bytes (no date, no random ids).
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours that stand for a role while matplotlib draws, and what takes their place in the page.
_INK, _RULE, _TRAIN, _VALIDATION = "#010101", "#020202", "#030303", "#040404"
_VARIABLES = {_INK: "var(--soft)", _RULE: "var(--rule)", _TRAIN: "var(--accent)", _VALIDATION: "var(--second)"}
_MAX_POINTS = 800  # of the raw curve; more is ink on ink and megabytes of page


@dataclass(frozen=True)
class Curve:
    """Points of one curve: `x` and `y` of equal length, x rising."""

    x: Sequence[float]
    y: Sequence[float]


def loss_curve(train: Curve, validation: Curve, *, width: float, height: float, unit: str = "token") -> str:
    """SVG of training loss (each logged value, and smoothed) and validation loss over steps; `unit`: token or pair."""
    return measure_curve(train, validation, f"loss, nats per {unit}", width=width, height=height)


def measure_curve(train: Curve, validation: Curve, label: str, *, width: float, height: float) -> str:
    """SVG of what `label` names: while training (each logged value, and smoothed) and on held-out data, over steps.

    Args:
        width, height: in inches at 72 points: the type is sized for the SVG to be shown at about that size.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": f"lugha-{width}x{height}", "font.size": 10}):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        _draw(axes, train, validation, label)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _for_the_page(stream.getvalue(), f"Training and validation {label} over the steps")


def smooth(values: Sequence[float]) -> npt.NDArray[np.float64]:
    """Centred Gaussian mean over about a fiftieth of the curve: it does not lag behind where the loss falls fast.

    Values that are not finite are left out of the mean; at the ends it is taken over the values that there are.
    """
    y = np.asarray(values, dtype=np.float64)
    deviation = max(1.0, len(y) / 100)
    reach = min(int(3 * deviation), len(y) - 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    finite = np.isfinite(y)
    weights = np.convolve(finite.astype(np.float64), kernel)[reach : reach + len(y)]
    sums = np.convolve(np.where(finite, y, 0.0), kernel)[reach : reach + len(y)]
    means = np.full(len(y), np.nan)
    np.divide(sums, weights, out=means, where=weights > 0)
    return means


def _draw(axes: Axes, train: Curve, validation: Curve, label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    if train.x:
        stride = -(-len(train.x) // _MAX_POINTS)
        axes.plot(train.x[::stride], train.y[::stride], color=_TRAIN, alpha=0.28, linewidth=0.8)
        axes.plot(train.x[::stride], smooth(train.y)[::stride], color=_TRAIN, linewidth=1.8)
    if validation.x:
        axes.plot(validation.x, validation.y, color=_VALIDATION, linewidth=1.4, marker="o", markersize=4)
    axes.set_xlabel("step", color=_INK)
    axes.set_ylabel(label, color=_INK)
    axes.tick_params(colors=_INK, length=0)
    axes.grid(axis="y", color=_RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_RULE)
    axes.margins(x=0.01)


def _for_the_page(svg: str, label: str) -> str:
    """The drawing alone: no XML head, no style rule that would reach the page, no ids that two drawings would share."""
    svg = svg[svg.index("<svg") :].strip()
    head = rf'<svg viewBox="\1" role="img" aria-label="{label}">'
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', head, svg, count=1)
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    return svg
