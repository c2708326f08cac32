"""Does alignment do what it promises, on preferences of people: TaTA's Swahili sentences about tables.

    python bench/alignment/tata.py --corpora FOLDER --root FOLDER [--checkpoint RUN] [--steps 1500]

1. A small decoder is pretrained on Swahili newspapers (recipes/swahili-corpus.yaml), or taken from --checkpoint. A table is
   longer than a sentence, so sentences are put together to documents of a table's length: far positions are trained too.
2. sft: table -> the sentence that people scored higher, on the dev rows.
3. dpo: chosen against rejected sentence, on the dev rows, from the sft model.

Held out are the test rows: other tables (upstream's own split, no table in both). Printed are the margin over the steps, the
preference accuracy of the sft and the dpo model on the same test pairs with 95 % intervals over tables, the paired gain, and
whether the sft weights that the reference was computed from are the bytes that they were.

FOLDER holds tata-preferences/ and maneno-yetu/. Finished stages below --root are reused.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import re
from pathlib import Path

import torch

from lugha.checkpoints.format import verify_checkpoint
from lugha.checkpoints.restore import resolve_checkpoint
from lugha.pipeline.aligning import Alignment, align, aligned_recipe
from lugha.pipeline.comparing import PreferenceResult, preference_lines
from lugha.pipeline.run import run_recipe
from lugha.recipe import load_recipe
from lugha.runs.files import write_text
from lugha.runs.folder import read_jsonl

CHARACTERS = 2500
RECIPE = Path(__file__).parents[2] / "recipes" / "swahili-corpus.yaml"


def pretrained(options: argparse.Namespace) -> Path:
    """A checkpoint of the decoder to align."""
    if options.checkpoint:
        return resolve_checkpoint(options.checkpoint, say=print)
    overrides = [
        "name=tata-base",
        f"corpus.root={_documents(options).parent}",
        f"run.root={options.root}",
        "corpus.sources.0.segment=none",
        "corpus.filter.max_words=null",
        "tokens.max_length=1024",
        "model.max_positions=1024",
        "train.micro_batch=4",
        f"train.steps={options.steps}",
    ]
    run = run_recipe(load_recipe(RECIPE, [*overrides, *options.set]), until="train").run
    assert run is not None
    return resolve_checkpoint(run.path, say=print)


def _documents(options: argparse.Namespace) -> Path:
    """The newspapers as documents of some `CHARACTERS`, each with the file that it is from."""
    made = options.root / "newspapers" / "documents.jsonl.gz"
    if made.is_file():
        return made
    made.parent.mkdir(parents=True, exist_ok=True)
    partial = made.with_suffix(".partial")
    with gzip.open(partial, "wt", encoding="utf-8", compresslevel=1) as out:
        for source in sorted((options.corpora / "maneno-yetu").glob("*.jsonl.gz")):
            with gzip.open(source, "rt", encoding="utf-8") as lines:
                for row in map(json.loads, lines):
                    for document in re.findall(rf"\S.{{0,{CHARACTERS}}}(?:[.!?]+(?=\s|$)|$)", row["text"], re.DOTALL):
                        out.write(json.dumps({"file": row["file"], "text": document}, ensure_ascii=False) + "\n")
    return partial.rename(made)


def split_rows(options: argparse.Namespace) -> dict[str, Path]:
    """The preferences as one JSONL file for each of upstream's splits."""
    source = options.corpora / "tata-preferences" / f"tata_preferences.{options.lang}.jsonl"
    files: dict[str, Path] = {}
    lines = source.read_text(encoding="utf-8").splitlines()
    for split in ("dev", "test"):
        files[split] = options.root / "tata" / f"{options.lang}.{split}.jsonl"
        write_text(files[split], "".join(f"{line}\n" for line in lines if json.loads(line)["split"] == split))
    return files


_LOGGED = ("train.log_every=1", "train.eval_every=10", "train.save_every=100")


def aligned(
    road: str, start: Path, files: dict[str, Path], options: argparse.Namespace, *, accumulation: int, **settings: float
) -> Alignment:
    """The decoder at `start` after `road` on the dev rows."""
    recipe = aligned_recipe(
        road,
        checkpoint=start,
        data=files["dev"],
        validation_data=files["test"],
        lang=options.lang,
        root=options.root,
        overrides=[f"train.accumulation={accumulation}", *_LOGGED, *options.set],
        **settings,
    )
    return align(recipe)


def margins(done: Alignment, lines: int = 12) -> list[str]:
    """Rows of a table: step, loss, margin, accuracy on the training pairs and, where they were measured, on the test pairs."""
    logged = read_jsonl(done.run.metrics)
    steps = [row for row in logged if row["kind"] == "train"]
    shown = steps[:: max(1, len(steps) // lines)]
    table = [f"{'step':>6} {'loss':>7} {'margin':>8} {'accuracy':>9}   (training pairs of the step)"]
    table += [f"{row['step']:>6} {row['loss']:>7.4f} {row['margin']:>8.4f} {row['accuracy']:>9.3f}" for row in shown]
    table.append(f"{'step':>6} {'loss':>7} {'margin':>8} {'accuracy':>9}   (test pairs)")
    held_out = [row for row in logged if row["kind"] == "validation"]
    return table + [f"{r['step']:>6} {r['loss']:>7.4f} {r['margin']:>8.4f} {r['accuracy']:>9.3f}" for r in held_out]


def main() -> None:
    """Run the three stages and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--root", type=Path, required=True, help="folder of run folders")
    parser.add_argument("--checkpoint", type=Path, help="a decoder to align; default: pretrain one")
    parser.add_argument("--lang", default="sw", choices=("sw", "ig"))
    parser.add_argument("--steps", type=int, default=1500, help="of pretraining")
    parser.add_argument("--sft-lr", type=float, default=1e-3)
    parser.add_argument("--sft-epochs", type=float, default=3)
    parser.add_argument("--dpo-lr", type=float, default=5e-4)
    parser.add_argument("--dpo-epochs", type=float, default=3)
    parser.add_argument("--beta", type=float, default=0.1)
    parser.add_argument("--set", action="append", default=[], help="further overrides, of every stage")
    options = parser.parse_args()
    options.root.mkdir(parents=True, exist_ok=True)
    print(f"{platform.machine()}, torch {torch.__version__}, {os.environ.get('OMP_NUM_THREADS', os.cpu_count())} threads")

    start, files = pretrained(options), split_rows(options)
    sft = aligned("sft", start, files, options, accumulation=1, lr=options.sft_lr, epochs=options.sft_epochs)
    weights = sft.weights_sha256
    # A long table alone fills a micro-batch: four of them make a step of some twenty pairs.
    settings = {"lr": options.dpo_lr, "epochs": options.dpo_epochs, "beta": options.beta}
    dpo = aligned("dpo", sft.checkpoint, files, options, accumulation=4, **settings)
    print("\n".join(margins(dpo)))
    assert isinstance(dpo.result, PreferenceResult)
    print("\n".join(["before: sft, after: dpo", *preference_lines(dpo.result)]))
    same = verify_checkpoint(sft.checkpoint).weights_sha256() == weights
    print(f"the sft weights, every byte read again: {'unchanged' if same else 'CHANGED'} ({weights[:12]})")


if __name__ == "__main__":
    main()
