"""`lugha`: the verbs, and how an error becomes one line and an exit code.

Exit codes: 0 done; 2 bad usage or input; 3 refused by a plan, gate or check; 75 interrupted and resumable; 1 a fault of
ours. Nothing heavy is imported before a verb needs it: `lugha --help` answers without torch.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import Annotated, NoReturn

import typer

from lugha.cli import (
    align,
    checkpoints,
    corpus,
    demo,
    evaluate,
    examples,
    export,
    generate,
    languages,
    recipe,
    report,
    run,
    sweep,
    tokenizer,
    tokens,
    train,
    translate,
    vocab,
)
from lugha.cli.language_pairs import expand_language_pairs
from lugha.errors import InterruptedRunError, LughaError
from lugha.runs.stopping import Interrupted, interruptible

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="From raw text of a low-resource language to a model that speaks it. RECIPE is a preset's name or a YAML file.",
)

tokenizer.app.command("audit")(vocab.audit)

_PIPELINE, _STAGES, _USE = "The whole way", "Stages, one by one", "Use and look"
app.command("demo", rich_help_panel=_PIPELINE)(demo.demo)
app.command("run", rich_help_panel=_PIPELINE)(run.run)
app.command("sweep", rich_help_panel=_PIPELINE)(sweep.sweep)
app.command("new", rich_help_panel=_PIPELINE)(recipe.new)
app.add_typer(recipe.app, name="recipe", rich_help_panel=_PIPELINE)
app.add_typer(corpus.app, name="corpus", rich_help_panel=_STAGES)
app.add_typer(tokenizer.app, name="tokenizer", rich_help_panel=_STAGES)
app.add_typer(tokens.app, name="tokens", rich_help_panel=_STAGES)
app.add_typer(vocab.app, name="vocab", rich_help_panel=_STAGES)
app.add_typer(examples.app, name="examples", rich_help_panel=_STAGES)
app.command("train", rich_help_panel=_STAGES)(train.train)
app.command("align", rich_help_panel=_STAGES)(align.align)
app.command("evaluate", rich_help_panel=_STAGES)(evaluate.evaluate)
app.command("export", rich_help_panel=_STAGES)(export.export)
app.add_typer(checkpoints.app, name="checkpoints", rich_help_panel=_USE)
app.command("generate", rich_help_panel=_USE)(generate.generate)
app.command("translate", rich_help_panel=_USE)(translate.translate)
app.command("report", rich_help_panel=_USE)(report.report)
app.command("languages", rich_help_panel=_USE)(languages.languages)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False) -> None:
    if version:
        import lugha

        typer.echo(f"lugha {lugha.__version__}")
        raise typer.Exit()


def main() -> None:
    """Entry point of the `lugha` command."""
    # A tokenizer that was used before a fork (PyTorch's workers) would otherwise warn on every run.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    others = set(threading.enumerate())
    try:
        with interruptible():
            app(expand_language_pairs(sys.argv[1:]))
    except LughaError as error:
        sys.stderr.write(f"lugha: {error}\n")
        _leave(error.exit_code, others)
    except BrokenPipeError:  # `lugha ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Interrupted as signal:
        sys.stderr.write(f"lugha: stopped by {signal}; the same command goes on where it can.\n")
        _leave(InterruptedRunError.exit_code, others)


def _leave(code: int, others: set[threading.Thread]) -> NoReturn:
    """End with an exit code; of an interrupted run at once, also where a thread of a library is deep in an upload.

    Python waits at its end for every thread that is no daemon, and a stalled connection can last longer than the time before
    the kill.

    Args:
        others: threads that are not of this command.
    """
    busy = [thread for thread in threading.enumerate() if not thread.daemon and thread not in others]
    if code == InterruptedRunError.exit_code and busy:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
