"""`lugha sweep`: a table for people, the same figures as JSON, bad input in one line."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Lugha
from tests.cli.test_bad_input import refused
from tests.pipeline.test_sweeping import written


def test_table_and_json_show_the_same_figures(lugha: Lugha, tmp_path: Path) -> None:
    command = ("sweep", written(tmp_path), "--grid", "train.lr=1e-9,1e-2", "--seeds", "2", "--set", "train.clip=0.5")
    shown = lugha(*command)
    assert shown.code == 0, shown.err
    found = lugha(*command, "--json")
    figures = json.loads(found.out)
    assert found.code == 0
    assert [row["values"]["train.lr"] for row in figures["rows"]] == [1e-2, 1e-9]
    assert "run 1 of 4" in found.err, "what is said while it runs stands beside the figures, not in them"
    for row in figures["rows"]:
        assert f"{row['mean']:.4f}" in shown.out
        assert f"{row['tokens']:,}" in shown.out
    assert "best" in shown.out
    assert Path(figures["folder"]).name in shown.out.replace("\n", "")


def test_bad_input_is_one_line(lugha: Lugha, tmp_path: Path) -> None:
    path = written(tmp_path)
    refused(lugha("sweep", path), 2, "at least one --grid")
    refused(lugha("sweep", path, "--grid", "train.lrr=1,2"), 2, "Variant train.lrr=1", 'Did you mean "lr"?')
    refused(lugha("sweep", path, "--grid", "model.kv_heads=2,3"), 2, "Variant model.kv_heads=3", "must divide heads")
    refused(lugha("sweep", path, "--grid", "train.lr=1e-3", "--seeds", "0"), 2, "--seeds 0")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["raw", "small.yaml"]
