"""Export a checkpoint as a folder that transformers loads without lugha, proved by a parity gate.

    export/hf/
        config.json, generation_config.json, model.safetensors     as in the checkpoint; adapters merged into their base
        tokenizer.json, tokenizer_config.json                      the base's own, or with <s> or </s> placed as in training
        template.yaml, chat_template.jinja                         the words that the model was trained to be asked in
        README.md                                                  how to load it, what it was trained on
        manifest.json                                              gate figures, SHA-256 of every file

Two things that transformers itself would write wrongly for older readers are mended: `rope_theta` stands beside
`rope_parameters` (transformers 4 reads only the former and silently falls back to 10,000), and the tokenizer's class is
PreTrainedTokenizerFast (transformers 5 writes a class that 4 does not have).

The gate: the folder is loaded again by `AutoModel...` and `AutoTokenizer`, and must give the same logits, to the last bit,
and the same ids on every probe text. A folder that does not is not kept. What a merge changes is measured before that
(export/merge.py).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer

from lugha.checkpoints.format import RECIPE, TOKENIZER, WEIGHTS, verify_checkpoint
from lugha.errors import RefusedError
from lugha.export.chat_template import chat_template, check_chat_template
from lugha.export.merge import Inputs, merge_adapter
from lugha.models.build import load_model
from lugha.models.lora import ADAPTER_WEIGHTS
from lugha.models.state import save_whole
from lugha.recipe import Recipe, load_recipe
from lugha.runs.manifest import StageManifest, is_current, read_manifest, stage_output
from lugha.tokens.special import CORE_TOKENS, RESERVED_TOKENS, roles_of, special_ids
from lugha.tokens.template import TEMPLATE, Template, load_template
from lugha.tokens.tokenizer import TOKENIZER_CONFIG, load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_STAGE, _VERSION = "export-hf", 3


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
    tokenizer = load_tokenizer(checkpoint / TOKENIZER)
    texts = [*_PROBES, *probes]
    inputs_of_gate = [_inputs(tokenizer, text, recipe) for text in texts[:16]]
    with stage_output(output, stage=_STAGE, version=_VERSION, parameters=parameters, inputs=inputs) as out:
        if (checkpoint / ADAPTER_WEIGHTS).is_file():
            merged = merge_adapter(checkpoint, inputs_of_gate, cache=recipe.run.root / "bases")
            out.details["merge"] = merged.figures()
            model = merged.model
            save_whole(model, out.folder)
        else:
            model = load_model(checkpoint)
            for name in ("config.json", "generation_config.json", WEIGHTS):
                shutil.copyfile(checkpoint / name, out.folder / name)
        _mend_config(out.folder / "config.json")
        write_tokenizer(checkpoint, out.folder, recipe)
        template = _write_template(checkpoint, out.folder)
        (out.folder / "README.md").write_text(_readme(recipe, template, card), encoding="utf-8")
        exported = _compare_tokenizers(out.folder, tokenizer, texts)
        largest = _largest_logit_difference(out.folder, model, inputs_of_gate)
        out.details["gate"] = {"texts": len(texts), "ids_differ": 0, "largest_logit_difference": largest}
        if template is not None:
            out.details["gate"]["conversations"] = check_chat_template(exported, template, texts[:16])
    return read_manifest(output)


def _mend_config(path: Path) -> None:
    config = json.loads(path.read_text(encoding="utf-8"))
    if theta := (config.get("rope_parameters") or {}).get("rope_theta"):
        config["rope_theta"] = theta
    config["torch_dtype"] = config.get("dtype", "float32")
    _write(path, config)


def _write_template(checkpoint: Path, folder: Path) -> Template | None:
    """The template as it is, and as servers read it: in a file of its own (transformers 5) and in the configuration (4)."""
    if not (checkpoint / TEMPLATE).is_file():
        return None
    shutil.copyfile(checkpoint / TEMPLATE, folder / TEMPLATE)
    template = load_template(folder / TEMPLATE)
    (folder / "chat_template.jinja").write_text(chat_template(template), encoding="utf-8")
    config = json.loads((folder / TOKENIZER_CONFIG).read_text(encoding="utf-8"))
    _write(folder / TOKENIZER_CONFIG, config | {"chat_template": chat_template(template)})
    return template


def write_tokenizer(source: Path, folder: Path, recipe: Recipe) -> None:
    """The tokenizer of `source` as transformers loads it: a base's own files as they are, ours with a place for `<s>`, `</s>`."""
    if (source / TOKENIZER_CONFIG).is_file():
        for name in (TOKENIZER, TOKENIZER_CONFIG):
            shutil.copyfile(source / name, folder / name)
        return
    content = json.loads((source / TOKENIZER).read_text(encoding="utf-8"))
    seq2seq = recipe.model.kind == "m2m100"
    tokenizer = load_tokenizer(source / TOKENIZER)
    roles = roles_of(tokenizer)
    text_of = {number: text for text, number in special_ids(tokenizer).items()}
    languages = [t for t in text_of.values() if t not in {*CORE_TOKENS, *RESERVED_TOKENS}]
    for token in content["added_tokens"]:
        if token["content"] in languages:
            token["rstrip"] = True  # "swh_Latn Habari": the blank belongs to the code, not to the text
    piece: list[dict[str, Any]] = [{"Sequence": {"id": "A", "type_id": 0}}]
    number = roles.eos if seq2seq else roles.bos
    name = text_of[number]
    special = [{"SpecialToken": {"id": name, "type_id": 0}}]
    single = piece + special if seq2seq else special + piece
    content["post_processor"] = {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {name: {"id": name, "ids": [number], "tokens": [name]}},
    }
    (folder / TOKENIZER).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    _write(
        folder / TOKENIZER_CONFIG,
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "pad_token": text_of[roles.pad],
            "bos_token": text_of[roles.bos],
            "eos_token": text_of[roles.eos],
            "unk_token": "<unk>",
            "additional_special_tokens": languages,
            "clean_up_tokenization_spaces": False,
            "model_max_length": recipe.model.max_positions,
            "model_input_names": ["input_ids", "attention_mask"],
        },
    )


def _compare_tokenizers(folder: Path, ours: Tokenizer, texts: Sequence[str]) -> Any:
    """The folder's tokenizer, loaded by transformers alone; refused where it gives other ids than training saw."""
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    different = [
        text
        for text in texts
        if theirs(text, add_special_tokens=False, verbose=False).input_ids != ours.encode(text, add_special_tokens=False).ids
    ]
    if different:
        raise RefusedError(
            f"{folder}: the exported tokenizer gives other ids on {len(different)} of {len(texts)} texts, for example "
            f"{different[0][:60]!r}. Not exported."
        )
    return theirs


def _largest_logit_difference(folder: Path, model: PreTrainedModel, probes: Sequence[Inputs]) -> float:
    """Refuse a folder whose model, loaded by transformers alone, says something else than `model`; returns 0.0."""
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    loader = AutoModelForSeq2SeqLM if model.config.is_encoder_decoder else AutoModelForCausalLM
    exported = loader.from_pretrained(folder, local_files_only=True, dtype=model.dtype).eval()
    with torch.no_grad():
        largest = max(float((model(**inputs).logits - exported(**inputs).logits).abs().max()) for inputs in probes)
    if largest != 0.0:  # also NaN
        raise RefusedError(f"{folder}: exported logits differ from the checkpoint's by up to {largest:.3g}. Not exported.")
    return largest


def _inputs(tokenizer: Tokenizer, text: str, recipe: Recipe) -> Inputs:
    ids = [roles_of(tokenizer).bos, *tokenizer.encode(text, add_special_tokens=False).ids][: recipe.model.max_positions - 2]
    batch = torch.tensor([ids])
    return {"input_ids": batch} | ({"decoder_input_ids": batch} if recipe.model.kind == "m2m100" else {})


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _readme(recipe: Recipe, template: Template | None, card: str) -> str:
    usage = _USE_SEQ2SEQ if recipe.model.kind == "m2m100" else _USE_CAUSAL
    if template is not None:
        usage = _USE_PROMPT.format(prompt=template.prompt("Translate the following English text to Igbo.", "Good morning."))
    base = f" Adapted from {recipe.model.base}, whose licence holds for it." if recipe.model.base else ""
    intro = f"Trained with lugha.{base} Loads with transformers alone:"
    return f"# {recipe.name}\n\n{recipe.description}\n\n{intro}\n\n{usage}\n{card}\n"


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

_USE_PROMPT = """```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
model = AutoModelForCausalLM.from_pretrained("FOLDER")
prompt = {prompt!r}
inputs = tokenizer(prompt, return_tensors="pt")
output = model.generate(**inputs, max_new_tokens=60)[0, inputs.input_ids.shape[1] :]
print(tokenizer.decode(output, skip_special_tokens=True))
```

The model answers this form of question (template.yaml). Text must be in Unicode NFC.
"""
