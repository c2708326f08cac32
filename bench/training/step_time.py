"""Step time of lugha's loop against a bare PyTorch loop: same model, same batches, same process, alternately.

    python bench/training/step_time.py [--rounds 5] [--steps 6]

The bare loop is what a person would write in a notebook: `model(**batch).loss / n`, backward, clip, step, on tensors that are
already in memory. lugha's step makes its batch from the token shards, counts its target tokens, computes the loss piece by
piece, and logs. The figure is the median over rounds of lugha's CPU seconds a step / the bare loop's. CPU seconds, because
other work on the machine would otherwise decide the result.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import torch

from lugha.models.build import build_model
from lugha.models.shapes import parameter_count
from lugha.recipe import ModelSection, Recipe, TokenizerSection, TokensSection, load_recipe
from lugha.runs.folder import new_run
from lugha.tokens.build import build_tokens
from lugha.tokens.tokenizer import train_tokenizer
from lugha.training.data import open_run_data
from lugha.training.loop import train
from lugha.training.objectives import predicted_tokens
from lugha.training.optimiser import build_optimiser

TEN_MILLION = ModelSection(
    vocab_size=16_384, d_model=256, layers=8, heads=8, kv_heads=4, d_ff=704, max_positions=256
)  # notes: the model that training speed was first measured on, 10.1 M parameters


def recipe_for(model: ModelSection, steps: int, root: Path) -> Recipe:
    """swahili-debug with this model, no evaluation and one save at the end."""
    debug = load_recipe("swahili-debug", [f"train.steps={steps}", "train.save_every=100000", "train.eval_every=100000"])
    tokenizer = debug.tokenizer.model_copy(update={"vocab_size": model.vocab_size})
    run = debug.run.model_copy(update={"root": root})
    return debug.model_copy(update={"model": model, "tokenizer": tokenizer, "run": run})


def bare_seconds(recipe: Recipe, folder: Path, steps: int) -> float:
    """CPU seconds a step of a plain loop over the batches that lugha would make."""
    data = open_run_data(recipe, folder / "tokens", folder / "tokenizer")
    accumulation = recipe.train.accumulation
    batches = [[data.training.micro_batch(0, s * accumulation + i) for i in range(accumulation)] for s in range(steps)]
    model = build_model(recipe.model, seed=1)
    optimiser = build_optimiser(model, recipe.train)
    model.train()
    seconds = []
    for micro_batches in batches:
        begun = time.process_time()
        total = sum(predicted_tokens(b) for b in micro_batches)
        for batch in micro_batches:
            loss = model(**batch, use_cache=False).loss * predicted_tokens(batch) / total
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.train.clip)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        seconds.append(time.process_time() - begun)
    return statistics.median(seconds[1:])


def lugha_seconds(recipe: Recipe, folder: Path, steps: int) -> float:
    """CPU seconds a step of `lugha train`: the difference of a long and a short run, so that start and save cancel."""
    costs = []
    for count in (2, 2 + steps):
        section = recipe.train.model_copy(update={"steps": count})
        begun = time.process_time()
        train(
            recipe.model_copy(update={"train": section}),
            tokens=folder / "tokens",
            tokenizer=folder / "tokenizer",
            run=new_run(folder / "runs", recipe.name),
            say=lambda _: None,
        )
        costs.append(time.process_time() - begun)
    return (costs[1] - costs[0]) / steps


def main() -> None:
    """Print one line for each model."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6)
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    print(
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    for name, model in (("swahili-debug", load_recipe("swahili-debug").model), ("10 M", TEN_MILLION)):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            recipe = recipe_for(model, options.steps, folder / "runs")
            text = folder / "text.txt"
            text.write_text("\n".join(made_text(40_000)), encoding="utf-8")
            prepare(text, folder, recipe)
            ratios, ours, bare = [], [], []
            for _ in range(options.rounds):
                ours.append(lugha_seconds(recipe, folder, options.steps))
                bare.append(bare_seconds(recipe, folder, options.steps + 1))
                ratios.append(ours[-1] / bare[-1])
            print(
                f"{name:<14} {parameter_count(model):>11,} parameters: lugha {statistics.median(ours):.3f}, bare "
                f"{statistics.median(bare):.3f} CPU-s/step; ratio {statistics.median(ratios):.3f} "
                f"({min(ratios):.3f} to {max(ratios):.3f}, {options.rounds} rounds)"
            )


def made_text(lines: int) -> list[str]:
    """Sentences of made-up words with the frequencies and lengths of a real language."""
    import numpy as np

    rng = np.random.default_rng(1)
    syllables = [c + v for c in "b ch d f g h j k l m n p r s t v w y z".split() for v in "aeiou"]
    words = ["".join(rng.choice(syllables, 1 + rank % 4)) for rank in range(30_000)]
    weights = (np.arange(len(words)) + 2.7) ** -1.08
    weights /= weights.sum()
    return [" ".join(rng.choice(words, size, p=weights)) + "." for size in rng.integers(8, 40, lines)]


def prepare(text: Path, folder: Path, recipe: Recipe) -> None:
    """Text to tokens by the stages of lugha."""
    from lugha.corpus.clean import clean_corpus
    from lugha.corpus.split import split_corpus
    from lugha.recipe import Source, SplitSection

    source = Source(name="made", path=text, lang="swh", group_lines=500)
    clean_corpus([source], folder / "cleaned", root=Path())
    split_corpus(folder / "cleaned", folder / "split", section=SplitSection(), seed=1)
    train_tokenizer(folder / "split", folder / "tokenizer", section=TokenizerSection(vocab_size=recipe.model.vocab_size))
    build_tokens(folder / "split", folder / "tokenizer", folder / "tokens", section=TokensSection())


if __name__ == "__main__":
    main()
