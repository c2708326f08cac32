"""The unknown-character audit of a base's tokenizer: what of the corpus the model would never see, before any money is spent.

    split/ + the base's tokenizer.json  ->  tokens/audit/manifest.json

NLLB-200's tokenizer has no bytes to fall back to: a letter that it does not know becomes `<unk>` in every word that holds it,
without an error. A tokenizer trained on the corpus, or one with bytes, has nothing to audit.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lugha.recipe import TokensSection
from lugha.runs.manifest import input_digest, is_current, read_manifest, stage_output
from lugha.tokens.punctuation import punctuation_digest, punctuation_of
from lugha.tokens.sample import open_texts
from lugha.tokens.tokenizer import load_tokenizer, tokenizer_fingerprint
from lugha.tokens.unknown import audit_texts, check_unknown

Say = Callable[[str], None]
_STAGE, _VERSION = "audit", 1


def audit_tokenizer(split: Path, tokenizer: Path, output: Path, *, section: TokensSection, say: Say) -> None:
    """Count the training rows that hold an unknown character, and say which; a current audit is not repeated.

    Raises:
        RefusedError: a language has more of them than `tokens.max_unknown`; the line names characters and the mend.
    """
    parameters = {"punctuation": punctuation_digest(section.punctuation), "max_unknown": section.max_unknown}
    inputs = {"corpus": input_digest(split), "tokenizer": tokenizer_fingerprint(tokenizer)}
    if not is_current(output, stage=_STAGE, version=_VERSION, parameters=parameters, inputs=inputs):
        audits = audit_texts(load_tokenizer(tokenizer), open_texts(split), punctuation_of(section.punctuation))
        check_unknown(audits, section.max_unknown)
        with stage_output(output, stage=_STAGE, version=_VERSION, parameters=parameters, inputs=inputs) as out:
            out.details["audits"] = {language: audit.as_dict() for language, audit in audits.items()}
    for language, audit in read_manifest(output).details["audits"].items():
        say(_line(language, audit))


def _line(language: str, audit: dict[str, Any]) -> str:
    if not audit["rows_with_unknown"]:
        return f"audit      {language}: the base's tokenizer can write all {audit['rows']:,} rows"
    named = ", ".join(f"{c['character']} ({c['count']:,})" for c in audit["characters"][:8])
    return (
        f"audit      {language}: {audit['rows_with_unknown']:,} of {audit['rows']:,} rows ({audit['share']:.2%}) hold what the "
        f"base's tokenizer cannot write: {named}"
    )
