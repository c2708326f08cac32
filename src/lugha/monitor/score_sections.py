"""The report's sections about the model: scores beside baselines, failures, likelihood beside compressors, samples."""

from __future__ import annotations

from collections.abc import Iterable

from lugha.evaluation.compression import CompressionBaselines
from lugha.evaluation.degenerate import OutputChecks, Rate
from lugha.evaluation.results import DirectionResult, Evaluation, PublishedBaseline
from lugha.evaluation.translation import Score
from lugha.monitor.data_sections import language_name
from lugha.monitor.html import Html, join, table, tag
from lugha.runs.rates import bits_per_byte

Direction = tuple[str, str]


def translation_scores(evaluation: Evaluation) -> Html:
    """BLEU, chrF and chrF++ of each direction, published figures below ours, and the metrics' signatures."""
    rows: list[tuple[Html | str, ...]] = []
    for direction in _directions(evaluation.translation):
        ours = [one for one in evaluation.translation if _direction(one) == direction]
        rows.append((_group(f"{_arrow(direction)}, {ours[0].scores.rows:,} rows", columns=6),))
        rows += [_our_row(one) for one in ours]
        rows += [_baseline_row(one) for one in evaluation.baselines if _direction(one) == direction]
    head = ("Direction", "BLEU", "chrF", "chrF++", "BLEU, normalised", "chrF++, normalised")
    caption = (
        "Higher is better, 0 to 100; small figures are the 95 % interval over rows. "
        "Normalised: spelling variants that a reader does not see are folded on both sides first."
    )
    return join([table(caption, head, rows), _notes(evaluation)])


def output_checks(evaluation: Evaluation) -> Html:
    """Rates of failures of each direction and decoding."""
    rows: list[tuple[Html | str, ...]] = []
    for direction in _directions(evaluation.translation):
        rows.append((_group(_arrow(direction), columns=6),))
        ours = (one for one in evaluation.translation if _direction(one) == direction)
        rows += [(_decoding(one.beam), *_check_cells(one.checks)) for one in ours]
    head = ("Direction", "Copies the source", "Empty", "Loops", "Wrong language", "Length / reference")
    return table("What a mean score hides: share of the rows that could be judged.", head, rows)


def likelihood(evaluation: Evaluation) -> Html:
    """Held-out likelihood by language, and the compressors on the same bytes."""
    rows = [
        (language_name(one.lang), f"{one.bits_per_byte:.4f}", f"{one.perplexity:,.2f}", f"{one.tokens:,}", f"{one.bytes:,}")
        for one in evaluation.held_out
    ]
    head = ("Language", "Bits per byte", "Perplexity per token", "Tokens", "Bytes")
    caption = f"Held-out {evaluation.split} split. Bits per byte can be compared between tokenizers, perplexity cannot."
    parts = [table(caption, head, rows)]
    if evaluation.compression is not None:
        parts.append(_compression(evaluation.compression, _ours_on_the_same_text(evaluation, evaluation.compression)))
    return join(parts)


def samples(evaluation: Evaluation) -> Html:
    """Translations beside source and reference, and continuations of prompts."""
    translated = (
        tag(
            "dl",
            _field(f"Source, {language_name(one.source_lang)}", one.source, one.source_lang),
            _field(f"Reference, {language_name(one.target_lang)}", one.reference, one.target_lang),
            _field("Output", one.output or "(empty)", one.target_lang, class_="output"),
            class_="sample",
        )
        for one in evaluation.samples
    )
    generated = (
        tag("blockquote", tag("span", one.prompt, class_="prompt"), one.text, class_="generation")
        for one in evaluation.generations
    )
    return join([*translated, *generated])


def mean_chrfpp(evaluation: Evaluation) -> tuple[float, int] | None:
    """Mean chrF++ over directions, each by its best decoding, and how many directions; None without translations."""
    best: dict[Direction, float] = {}
    for one in evaluation.translation:
        best[_direction(one)] = max(best.get(_direction(one), 0.0), one.scores.chrfpp.value)
    return (sum(best.values()) / len(best), len(best)) if best else None


def overall_bits_per_byte(evaluation: Evaluation) -> float | None:
    """Bits per byte over the held-out text of all languages; None without one."""
    total = sum(one.bytes for one in evaluation.held_out)
    return bits_per_byte(sum(one.nats for one in evaluation.held_out), total) if total else None


def _group(title: str, columns: int) -> Html:
    return tag("th", title, scope="rowgroup", colspan=str(columns), class_="group")


def _our_row(one: DirectionResult) -> tuple[Html | str, ...]:
    normalised = one.scores.normalised
    return (
        f"this model, {_decoding(one.beam)}",
        *(_score(score) for score in (one.scores.bleu, one.scores.chrf, one.scores.chrfpp)),
        "–" if normalised is None else _score(normalised.bleu),
        "–" if normalised is None else _score(normalised.chrfpp),
    )


def _baseline_row(one: PublishedBaseline) -> tuple[Html | str, ...]:
    figures = ("–" if value is None else f"{value:.2f}" for value in (one.bleu, one.chrf, one.chrfpp))
    return (
        tag("th", one.system, scope="row", class_="baseline"),
        *(tag("td", f, class_="figure baseline") for f in figures),
        "",
        "",
    )


def _score(score: Score) -> Html | str:
    if score.low is None or score.high is None:
        return f"{score.value:.2f}"
    return join([f"{score.value:.2f}", tag("span", f"{score.low:.1f}–{score.high:.1f}", class_="interval")])


def _check_cells(checks: OutputChecks) -> Iterable[Html | str]:
    for rate in (checks.copied, checks.empty, checks.repetition, checks.wrong_language):
        yield _rate(rate)
    yield "–" if checks.length_ratio is None else f"{checks.length_ratio:.2f}"


def _rate(rate: Rate | None) -> Html | str:
    if rate is None or rate.share is None:
        return "–"
    return join([f"{100 * rate.share:.1f} %", tag("span", f"{rate.count:,} of {rate.of:,}", class_="interval")])


def _notes(evaluation: Evaluation) -> Html:
    """Signatures, so that each figure can be computed again, and where the baselines come from."""
    signatures: dict[str, str] = {}
    for one in evaluation.translation:
        for scores in (one.scores, one.scores.normalised):
            if scores is not None:
                signatures |= {
                    f"BLEU|{scores.bleu.signature}": "",
                    f"chrF2|{scores.chrf.signature}": "",
                    f"chrF2++|{scores.chrfpp.signature}": "",
                }
    origins = dict.fromkeys(f"{one.system}: {one.origin}" for one in evaluation.baselines)
    lines = [tag("p", tag("code", signature)) for signature in signatures]
    lines += [tag("p", origin, class_="note") for origin in origins]
    return tag("details", tag("summary", "Signatures of the metrics and origin of the baselines"), *lines)


def _ours_on_the_same_text(evaluation: Evaluation, found: CompressionBaselines) -> float | None:
    """The model's bits per byte on what the compressors got: one language, or all; None where it was other text.

    A file of n rows has a newline less than rows have ends.
    """
    of_bytes = {one.bytes: one.bits_per_byte for one in evaluation.held_out}
    overall = overall_bits_per_byte(evaluation)
    if overall is not None:
        of_bytes[sum(one.bytes for one in evaluation.held_out)] = overall
    return of_bytes.get(found.bytes + 1)


def _compression(found: CompressionBaselines, ours: float | None) -> Html:
    listed: list[tuple[float, str, str]] = [
        (bits, name, "bar plain")
        for name, bits in (
            ("zstd -19, training text before it", found.zstd_prefix),
            ("xz -9e", found.xz),
            ("zstd -19", found.zstd),
            ("zstd -19, trained dictionary", found.zstd_dictionary),
        )
        if bits is not None
    ]
    if ours is not None:
        listed.append((ours, "this model", "bar"))
    widest = max(bits for bits, _, _ in listed)

    def named(bits: float, name: str, bar: str) -> Html:
        length = tag("i", style=f"width:{100 * bits / widest:.2f}%")
        return join([name, tag("span", length, class_=bar, aria_hidden="true")])

    rows = [(named(*one), f"{one[0]:.4f}") for one in sorted(listed)]
    caption = (
        "A language model is a compressor: bits for each byte of held-out text, fewer is better. The compressors got "
        f"all {found.bytes:,} bytes at once; dictionary and prefix come from {found.prefix_bytes:,} bytes of training text."
    )
    return table(caption, ("Compressor", "Bits per byte"), rows)


def _field(label: str, text: str, lang: str, class_: str | None = None) -> Html:
    return tag("div", tag("dt", label), tag("dd", text, lang=lang), class_=class_)


def _directions(results: Iterable[DirectionResult]) -> list[Direction]:
    return list(dict.fromkeys(_direction(one) for one in results))


def _direction(one: DirectionResult | PublishedBaseline) -> Direction:
    return one.source_lang, one.target_lang


def _arrow(direction: Direction) -> str:
    return f"{language_name(direction[0])} → {language_name(direction[1])}"


def _decoding(beam: int) -> str:
    return "greedy" if beam == 1 else f"beam {beam}"
