"""Scripts as users write them, with and without `DurableCheckpoints`, and what they leave behind."""

from __future__ import annotations

import json
import re
from pathlib import Path

# What a user writes; only the lines of `durable` differ.
STOCK = """
from tests.integrations.tiny import tiny_trainer, weights
{before}
trainer = tiny_trainer({arguments})
{inside}
trainer.train({resume})
print("WEIGHTS", weights(trainer))
"""
DURABLE = """
from tests.integrations.tiny import tiny_trainer, weights
from lugha.integrations.transformers import DurableCheckpoints
{before}
trainer = tiny_trainer({arguments})
durable = DurableCheckpoints(trainer, [{store!r}]{options})
trainer.add_callback(durable)
{inside}
trainer.train(resume_from_checkpoint=durable.resume_from({resume!r}))
print("WEIGHTS", weights(trainer))
"""


def stock(*, before: str = "", arguments: str = "", inside: str = "", resume: str = "") -> str:
    return STOCK.format(before=before, arguments=arguments, inside=inside, resume=resume)


def durable(
    store: str | Path, *, before: str = "", arguments: str = "", inside: str = "", options: str = "", resume: str = "auto"
) -> str:
    return DURABLE.format(
        store=str(store), before=before, arguments=arguments, inside=inside, options=options, resume=resume
    )


def weights(text: str) -> str:
    found = re.search(r"^WEIGHTS (\w+)$", text, flags=re.M)
    assert found, text
    return found[1]


def status(folder: Path) -> dict[str, object]:
    (file,) = folder.glob("out/lugha/*/status.json")
    found: dict[str, object] = json.loads(file.read_text(encoding="utf-8"))
    return found


def local(folder: Path) -> set[str]:
    return {path.name for path in (folder / "out").glob("checkpoint-*")}


def published(store: Path) -> dict[int, Path]:
    """Step -> folder of what is marked in a store that is a folder of this machine, or that a server keeps as one."""
    return {int(path.parent.name.split("-")[1]): path.parent for path in store.glob("*/step-*/VERIFIED.json")}
