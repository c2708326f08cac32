"""The report of an alignment: both models side by side, the margin over the steps; nothing of it in other reports."""

from __future__ import annotations

import json
from pathlib import Path

from lugha.monitor.alignment_sections import INSTRUCTION, PREFERENCE, alignment_sections


def estimate(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1}


def test_another_run_has_no_such_section(tmp_path: Path) -> None:
    assert alignment_sections(tmp_path, [{"kind": "train", "step": 1, "loss": 2.0}]) == []


def test_instructions_show_the_loss_before_and_after(tmp_path: Path) -> None:
    found = {"before": {"loss": 5.25, "tokens": 1234}, "after": {"loss": 1.125, "tokens": 1234}}
    (tmp_path / INSTRUCTION).write_text(json.dumps(found), encoding="utf-8")
    ((heading, content),) = alignment_sections(tmp_path, [])
    assert heading == "Before and after"
    assert all(text in content for text in ("5.2500", "1.1250", "1,234"))


def test_preferences_show_both_models_the_gain_and_the_margin(tmp_path: Path) -> None:
    measures = {"accuracy": estimate(0.4), "accuracy_per_token": estimate(0.3)}
    before = {"pairs": 362, "prompts": 88, **measures, "reward_accuracy": None, "margin": None}
    after = before | {"accuracy": estimate(0.5), "reward_accuracy": estimate(0.625), "margin": estimate(2.5)}
    found = {"before": before, "after": after, "accuracy_gain": estimate(0.1), "accuracy_per_token_gain": estimate(0.0)}
    (tmp_path / PREFERENCE).write_text(json.dumps(found), encoding="utf-8")
    metrics = [{"kind": kind, "step": s, "margin": s / 10} for s in range(1, 20) for kind in ("train", "validation")]
    (_, shown), (heading, drawn) = alignment_sections(tmp_path, metrics)
    assert "362 held-out pairs of 88 prompts" in shown
    assert "0.625" in shown
    assert "0.300 to 0.500" in shown
    assert shown.count("–") == 2 + 2  # nothing before for reward and margin, no gain of either
    assert heading == "Margin"
    assert drawn.count("<svg") == 2
