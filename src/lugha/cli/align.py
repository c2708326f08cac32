"""`lugha align`: instructions or preferences on top of a trained decoder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lugha.cli.arguments import CheckpointOption, JsonOption, SetOption


def align(
    road: Annotated[str, typer.Argument(metavar="sft|dpo", help="sft: instructions; dpo: preferences.", show_default=False)],
    checkpoint: CheckpointOption,
    data: Annotated[Path, typer.Option("--data", help="JSONL, or a folder of such files.", show_default=False)],
    validation_data: Annotated[
        Path | None, typer.Option("--validation-data", help="Held-out JSONL.", show_default="5 % of the prompts of --data")
    ] = None,
    epochs: Annotated[
        float | None, typer.Option("--epochs", help="Passes over the data.", show_default="sft 3, dpo 1")
    ] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Peak learning rate.", show_default="sft 1e-5, dpo 5e-7")] = None,
    beta: Annotated[
        float | None, typer.Option("--beta", help="dpo: tie to the reference model.", show_default="0.1")
    ] = None,
    lang: Annotated[
        str | None, typer.Option("--lang", help="Language of the examples.", show_default="the checkpoint's")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="Folder of run folders.", show_default="the checkpoint's run.root")
    ] = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Align a checkpoint and compare it with what it was, on held-out prompts. The same command again goes on.

    --data holds a JSON object in a line: instruction and response, or messages (sft); prompt, chosen, rejected (dpo).
    """
    from lugha.cli.printing import print_json
    from lugha.pipeline.aligning import align as run_alignment
    from lugha.pipeline.aligning import aligned_recipe

    say = (lambda _: None) if as_json else typer.echo
    recipe = aligned_recipe(
        road,
        checkpoint=checkpoint,
        data=data,
        validation_data=validation_data,
        epochs=epochs,
        lr=lr,
        beta=beta,
        lang=lang,
        root=output,
        overrides=set_ or (),
        say=say,
    )
    done = run_alignment(recipe, say=say)
    if as_json:
        result = done.result.model_dump(mode="json") if done.result else None
        print_json({"checkpoint": str(done.checkpoint), "step": done.step, "weights": done.weights_sha256, "result": result})
