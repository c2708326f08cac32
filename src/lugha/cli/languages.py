"""`lugha languages`: what the registry knows."""

from __future__ import annotations

from lugha.cli.arguments import JsonOption


def languages(as_json: JsonOption = False) -> None:
    """The languages with their codes, script and letters."""
    from lugha.cli.printing import print_json, print_table
    from lugha.languages.registry import LANGUAGES

    rows = [(x.name, x.code, x.bcp47, x.nllb, x.script, " ".join(x.alphabet)) for x in LANGUAGES]
    columns = ("name", "ISO 639-3", "BCP 47", "NLLB", "script", "alphabet")
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        print_table("Languages", columns, rows)
