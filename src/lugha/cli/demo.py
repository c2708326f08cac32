"""`lugha demo`: the preset `demo`, then a few translations."""

from __future__ import annotations

import typer

from lugha.cli.arguments import SetOption

_LINES = (
    ("swh", "eng", "Watoto wanasoma vitabu."),
    ("eng", "swh", "The teacher is reading a book."),
    ("ibo", "eng", "Nwoke na-agụ akwụkwọ."),
    ("eng", "ibo", "The woman is cooking food."),
)


def demo(set_: SetOption = None) -> None:
    """Make a small Igbo and Swahili corpus, clean it, train a translator on it, score it, and translate a few lines. No
    network, no account, no download; a few minutes on a CPU."""
    from lugha.checkpoints.format import TOKENIZER
    from lugha.checkpoints.restore import find_checkpoint
    from lugha.evaluation.decode import translate
    from lugha.models.build import load_model
    from lugha.pipeline.run import run_recipe
    from lugha.recipe import load_recipe
    from lugha.tokens.tokenizer import load_tokenizer

    outcome = run_recipe(load_recipe("demo", set_ or ()), say=typer.echo)
    assert outcome.run is not None
    found = find_checkpoint(outcome.run.checkpoints, say=typer.echo)
    assert found is not None
    model, tokenizer = load_model(found.folder), load_tokenizer(found.folder / TOKENIZER)
    typer.echo("")
    for source, target, text in _LINES:
        answer = translate(model, tokenizer, [text], source_lang=source, target_lang=target)[0]
        typer.echo(f"  {source} -> {target}   {text}  ->  {answer}")
    typer.echo(f"\nReport: {outcome.report}")
