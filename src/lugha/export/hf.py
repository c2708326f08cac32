"""Export a checkpoint as a folder that transformers loads without lugha, proved by a parity gate.

    export/hf/
        config.json, generation_config.json, model.safetensors     as in the checkpoint
        tokenizer.json, tokenizer_config.json                      with <s> or </s> placed as in training
        README.md                                                  how to load it, what it was trained on
        manifest.json                                              gate figures, SHA-256 of every file

Two things that transformers itself would write wrongly for older readers are mended: `rope_theta` stands beside
`rope_parameters` (transformers 4 reads only the former and silently falls back to 10,000), and the tokenizer's class is
PreTrainedTokenizerFast (transformers 5 writes a class that 4 does not have).

The gate: the folder is loaded again by `AutoModel...` and `AutoTokenizer`, and must give the same logits, to the last bit,
and the same ids on every probe text. A folder that does not is not kept.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from lugha.checkpoints.format import RECIPE, TOKENIZER, WEIGHTS, verify_checkpoint
from lugha.errors import RefusedError
from lugha.models.build import BOS, EOS, PAD, load_model
from lugha.recipe import Recipe, load_recipe
from lugha.runs.manifest import StageManifest, is_current, read_manifest, stage_output
from lugha.tokens.special import CORE_TOKENS, RESERVED_TOKENS, special_ids
from lugha.tokens.tokenizer import load_tokenizer

_STAGE, _VERSION = "export-hf", 1


def export_hf(checkpoint: Path, output: Path, *, probes: Sequence[str] = (), card: str = "") -> StageManifest:
    """Write the checkpoint's model and tokenizer as a Hugging Face folder.

    Args:
        probes: texts of the run's own languages on which ids are compared; a few built-in ones are always used.
        card: Markdown for the README.md of the folder, below its first lines.

    Raises:
        InputError: the checkpoint is damaged.
        RefusedError: the gate found a difference; the output is not kept.
    """
    source = verify_checkpoint(checkpoint)
    parameters = {"weights": source.weights_sha256(), "card": card}
    inputs = {"checkpoint": source.weights_sha256()}
    if is_current(output, stage=_STAGE, version=_VERSION, parameters=parameters, inputs=inputs):
        return read_manifest(output)
    recipe = load_recipe(checkpoint / RECIPE)
    with stage_output(output, stage=_STAGE, version=_VERSION, parameters=parameters, inputs=inputs) as out:
        for name in (WEIGHTS, "generation_config.json"):
            shutil.copyfile(checkpoint / name, out.folder / name)
        _write_config(checkpoint, out.folder)
        _write_tokenizer(checkpoint / TOKENIZER, out.folder, recipe)
        (out.folder / "README.md").write_text(_readme(recipe, card), encoding="utf-8")
        out.details["gate"] = _gate(checkpoint, out.folder, recipe, probes)
    return read_manifest(output)


def _write_config(checkpoint: Path, folder: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    if theta := (config.get("rope_parameters") or {}).get("rope_theta"):
        config["rope_theta"] = theta
    config["torch_dtype"] = config.get("dtype", "float32")
    _write(folder / "config.json", config)


def _write_tokenizer(tokenizer: Path, folder: Path, recipe: Recipe) -> None:
    content = json.loads(tokenizer.read_text(encoding="utf-8"))
    seq2seq = recipe.model.kind == "m2m100"
    languages = [t for t in special_ids(load_tokenizer(tokenizer)) if t not in {*CORE_TOKENS, *RESERVED_TOKENS}]
    for token in content["added_tokens"]:
        if token["content"] in languages:
            token["rstrip"] = True  # "swh_Latn Habari": the blank belongs to the code, not to the text
    piece: list[dict[str, Any]] = [{"Sequence": {"id": "A", "type_id": 0}}]
    name, number = (CORE_TOKENS[EOS], EOS) if seq2seq else (CORE_TOKENS[BOS], BOS)
    special = [{"SpecialToken": {"id": name, "type_id": 0}}]
    single = piece + special if seq2seq else special + piece
    content["post_processor"] = {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {name: {"id": name, "ids": [number], "tokens": [name]}},
    }
    (folder / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    _write(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "pad_token": CORE_TOKENS[PAD],
            "bos_token": CORE_TOKENS[BOS],
            "eos_token": CORE_TOKENS[EOS],
            "unk_token": "<unk>",
            "additional_special_tokens": languages,
            "clean_up_tokenization_spaces": False,
            "model_max_length": recipe.model.max_positions,
            "model_input_names": ["input_ids", "attention_mask"],
        },
    )


def _gate(checkpoint: Path, folder: Path, recipe: Recipe, probes: Sequence[str]) -> dict[str, Any]:
    """Compare the folder, loaded by transformers alone, with the checkpoint; raise on any difference."""
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    ours = load_tokenizer(checkpoint / TOKENIZER)
    theirs = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    texts = [*_PROBES, *probes]
    different = [t for t in texts if theirs(t, add_special_tokens=False, verbose=False).input_ids != ours.encode(t).ids]
    if different:
        raise RefusedError(
            f"{folder}: the exported tokenizer gives other ids on {len(different)} of {len(texts)} texts, for example "
            f"{different[0][:60]!r}. Not exported."
        )
    seq2seq = recipe.model.kind == "m2m100"
    model = load_model(checkpoint)
    loader = AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM
    exported = loader.from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval()
    largest = 0.0
    with torch.no_grad():
        for text in texts[:16]:
            ids = _ids(ours, text, recipe)
            inputs = {"input_ids": ids} | ({"decoder_input_ids": ids} if seq2seq else {})
            largest = max(largest, float((model(**inputs).logits - exported(**inputs).logits).abs().max()))
    if largest != 0.0:
        raise RefusedError(f"{folder}: exported logits differ from the checkpoint's by up to {largest:.3g}. Not exported.")
    return {"texts": len(texts), "ids_differ": 0, "largest_logit_difference": largest}


def _ids(tokenizer: Tokenizer, text: str, recipe: Recipe) -> torch.Tensor:
    ids = [BOS, *tokenizer.encode(text).ids][: recipe.model.max_positions - 2]
    return torch.tensor([ids])


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _readme(recipe: Recipe, card: str) -> str:
    seq2seq = recipe.model.kind == "m2m100"
    usage = _USE_SEQ2SEQ if seq2seq else _USE_CAUSAL
    return (
        f"# {recipe.name}\n\n{recipe.description}\n\nTrained with lugha. Loads with transformers alone:\n\n{usage}\n{card}\n"
    )


_PROBES = (
    "Habari za asubuhi, rafiki yangu?",
    "Ng'ombe wa jirani yangu wako ng'ambo ya mto.",
    "Ụtụtụ ọma, enyi m. Anyị nọ n'ụlọ akwụkwọ.",
    "Ọ̀ bụ́ ìhè na-acha ọkụ́.",
    "  two leading blanks, 12345, 3.14 and an emoji 😀",
)

_USE_CAUSAL = """```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
model = AutoModelForCausalLM.from_pretrained("FOLDER")
inputs = tokenizer("Habari za", return_tensors="pt")
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=40)[0], skip_special_tokens=True))
```
"""

_USE_SEQ2SEQ = """```python
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
model = AutoModelForSeq2SeqLM.from_pretrained("FOLDER")
inputs = tokenizer("swh_Latn Habari za asubuhi", return_tensors="pt")
target = tokenizer.convert_tokens_to_ids("eng_Latn")
print(tokenizer.decode(model.generate(**inputs, forced_bos_token_id=target)[0], skip_special_tokens=True))
```

Text must be in Unicode NFC.
"""
