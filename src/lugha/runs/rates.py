"""The one function for each rate: used by the progress line, the metrics, the report and the planner alike.

A rate always names its unit where it is shown: steps/s, micro-batches/s, tokens/s, rows/s.
"""

from __future__ import annotations

import math


def rate(count: float, seconds: float) -> float:
    """`count` units per second; 0.0 before any time has passed."""
    return count / seconds if seconds > 0 else 0.0


def seconds_left(done: float, total: float, seconds: float) -> float:
    """Seconds until `total`, if the rest goes at the rate seen so far; infinite before the first unit."""
    if done <= 0:
        return math.inf
    return max(0.0, total - done) * seconds / done


def bits_per_byte(nats: float, byte_count: int) -> float:
    """Cross-entropy in bits for each byte of text: `nats` is the *sum* of -ln p over all predicted tokens."""
    return nats / math.log(2) / byte_count


def format_duration(seconds: float) -> str:
    """12 s, 3 min 20 s, 2 h 05 min, 3 d 04 h."""
    if not math.isfinite(seconds):
        return "unknown time"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def format_count(count: float) -> str:
    """1,234 / 12.3 k / 4.56 M: three digits or more, for people."""
    if count < 10_000:
        return f"{count:,.0f}" if count >= 100 or float(count).is_integer() else f"{count:.3g}"
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)
