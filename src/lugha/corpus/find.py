"""Which raw files a source has, and which sources a bare folder has.

A source's `path` is a file, a folder (all files below it whose ending is read, in the order of their names, hidden ones
left out) or a glob such as `shards/*.jsonl.gz`. Files and pairs of files are found and named before the first is read.

    find_files(source, root)                        ->  [RawFile(path, name="a/b.jsonl.gz", format="jsonl"), ...]
    sources_from_path(Path("data/raw"), lang="sw")  ->  one Source for each folder in data/raw
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lugha.corpus.lines import COMPRESSIONS
from lugha.errors import InputError
from lugha.languages.registry import Language, get_language
from lugha.recipe.corpus_sections import Source
from lugha.runs.files import sha256_file, sha256_json

FORMAT_OF_ENDING = {
    ".txt": "txt",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".tsv": "tsv",
    ".csv": "csv",
    ".parquet": "parquet",
}
ENDINGS = f"{', '.join(FORMAT_OF_ENDING)}; all but .parquet also under {' and '.join(COMPRESSIONS)}"
_SPLIT_OF_STEM = {"dev": "validation", "valid": "validation", "validation": "validation", "test": "test"}


@dataclass(frozen=True)
class RawFile:
    """One file of a source; `name` is its path below the source's folder, with slashes."""

    path: Path
    name: str
    format: str
    target: Path | None = None  # moses: the file with the second side

    def digest(self) -> str:
        """Names the file and its bytes."""
        return sha256_json([self.name, *(sha256_file(p) for p in (self.path, self.target) if p)])


def find_files(source: Source, root: Path) -> list[RawFile]:
    """The files of `source`, in the order in which they are read.

    Raises:
        InputError: nothing is there, a folder holds no file that is read, or a file's format cannot be told.
    """
    path = root / source.path
    if source.target_path is not None:
        return [_moses(source, path, root / source.target_path)]
    if path.is_file():
        return [RawFile(path, path.name, _format_of_one(source, path))]
    if path.is_dir():
        base, candidates = path, _visible(path)
    elif glob.has_magic(str(source.path)):
        fixed, pattern = _split_glob(source.path)
        base = root / fixed
        candidates = [p for p in _sorted_visible(base.glob(pattern), base) if p.is_file()]
        if source.format != "auto" and candidates:
            return [RawFile(p, p.relative_to(base).as_posix(), source.format) for p in candidates]
    else:
        raise InputError(f'source "{source.name}": {path}: no such file or folder.')
    files = [
        RawFile(p, p.relative_to(base).as_posix(), format_of)
        for p in candidates
        if (format_of := _format_by_ending(p)) and source.format in ("auto", format_of)
    ]
    if not files:
        wanted = ENDINGS if source.format == "auto" else ", ".join(_endings_of(source.format))
        raise InputError(f'source "{source.name}": {path}: holds no file to read. Endings that are read: {wanted}.')
    return files


def digest_source(source: Source, root: Path) -> str:
    """Digest of the names and bytes of all files of `source`."""
    return sha256_json([f.digest() for f in find_files(source, root)])


def sources_from_path(
    path: Path,
    *,
    lang: str | None = None,
    source_lang: str | None = None,
    target_lang: str | None = None,
    target_path: Path | None = None,
    **keys: Any,
) -> list[Source]:
    """Make sources of a bare file or folder tree, such as `data/raw/<source>/...`.

    Documents (`lang`): each folder in `path` is a source, and so are the files that lie in `path` itself. Files whose
    ending is a code of the language (`train.sw`) are text files. Pairs (`source_lang`, `target_lang`): two files that
    differ in a language's code alone (`train.en`, `train.ig.gz`) are a source, and so is each file with columns; those
    named dev, valid, validation or test go to that split.

    Args:
        target_path: the file aligned with the file `path`, where names do not tell.
        keys: any other keys of a `Source`, the same for all.

    Returns:
        Sources whose paths begin with `path`: give `root=Path()` to the functions that read them.

    Raises:
        InputError: no or both kinds of language, nothing to read, a file without its partner, or an unknown key.
    """
    if bool(lang) == bool(source_lang or target_lang):
        raise InputError("Say what the files hold: `lang` for documents, or `source_lang` and `target_lang` for pairs.")
    if not lang and not (source_lang and target_lang):
        raise InputError("Pairs need both languages: `source_lang` and `target_lang`.")
    if lang and target_path:
        raise InputError("A second, aligned file goes with pairs: give `source_lang` and `target_lang` in place of `lang`.")
    if not path.exists():
        raise InputError(f"{path}: no such file or folder.")
    found: Iterable[dict[str, Any]]
    if lang:
        found = _document_sources(path, get_language(lang), {"kind": "documents", "lang": lang, **keys})
    else:
        sides = get_language(str(source_lang)), get_language(str(target_lang))
        langs = {"kind": "pairs", "source_lang": source_lang, "target_lang": target_lang}
        if target_path:
            found = [{"name": Path(_plain_name(path)).stem, "path": path, "target_path": target_path, **langs, **keys}]
        else:
            found = _pair_sources(path, sides, {**langs, **keys})
    try:
        sources = [Source.model_validate(values) for values in _with_own_names(found)]
    except ValidationError as error:
        problem = error.errors()[0]
        raise InputError(f"{path}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}.") from error
    if not sources:
        raise InputError(f"{path}: holds no file to read. Endings that are read: {ENDINGS}; or a language's code.")
    return sources


def _moses(source: Source, path: Path, target: Path) -> RawFile:
    for side in (path, target):
        if not side.is_file():
            what = "is a folder; give the one file of that side" if side.is_dir() else "no such file"
            raise InputError(f'source "{source.name}": {side}: {what}.')
    return RawFile(path, path.name, "moses", target)


def _format_of_one(source: Source, path: Path) -> str:
    if source.format != "auto":
        return source.format
    by_ending = _format_by_ending(path)
    if by_ending is None:
        raise InputError(
            f'source "{source.name}": {path}: the ending does not tell the format. Set `format`, or give the file one of: '
            f"{ENDINGS}."
        )
    return by_ending


def _format_by_ending(path: Path) -> str | None:
    plain = _plain_name(path)
    found = FORMAT_OF_ENDING.get(Path(plain).suffix.lower())
    return None if found == "parquet" and plain != path.name else found


def _endings_of(format_of: str) -> list[str]:
    return [ending for ending, name in FORMAT_OF_ENDING.items() if name == format_of]


def _plain_name(path: Path) -> str:
    """The file's name without .gz or .zst."""
    return path.name.removesuffix(path.suffix) if path.suffix in COMPRESSIONS else path.name


def _visible(folder: Path) -> list[Path]:
    """Files below `folder` in the order of their names."""
    return _sorted_visible((p for p in folder.rglob("*") if p.is_file()), folder)


def _sorted_visible(paths: Iterable[Path], folder: Path) -> list[Path]:
    """Without those whose name, or whose folder's name below `folder`, begins with a dot."""
    return sorted(p for p in paths if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def _split_glob(path: Path) -> tuple[Path, str]:
    """The folder above the first wildcard, and the pattern below it; `[*]`, `[?]` and `[[]` stand for themselves."""
    escaped = re.compile(r"\[([*?[])\]")
    wild = next(i for i, part in enumerate(path.parts) if glob.has_magic(escaped.sub("", part)) or i + 1 == len(path.parts))
    return Path(*(escaped.sub(r"\1", part) for part in path.parts[:wild])), str(Path(*path.parts[wild:]))


def _document_sources(path: Path, language: Language, keys: dict[str, Any]) -> Iterator[dict[str, Any]]:
    def is_text_of_language(file: Path) -> bool:
        return Path(_plain_name(file)).suffix[1:].casefold() in {n.casefold() for n in language.known_as}

    if path.is_file():
        text = {"format": "txt"} if is_text_of_language(path) else {}
        yield {"name": _plain_name(path), "path": path, **text, **keys}
        return
    folders = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    if any(_format_by_ending(p) for p in path.iterdir() if p.is_file() and not p.name.startswith(".")):
        yield {"name": path.resolve().name, "path": Path(glob.escape(str(path)), "*"), **keys}
    for folder in folders:
        if any(_format_by_ending(p) for p in _visible(folder)):
            yield {"name": folder.name, "path": folder, **keys}
    for file in filter(is_text_of_language, _visible(path)):
        yield {"name": file.relative_to(path).as_posix(), "path": file, "format": "txt", **keys}


def _pair_sources(path: Path, sides: tuple[Language, Language], keys: dict[str, Any]) -> Iterator[dict[str, Any]]:
    files = [path] if path.is_file() else _visible(path)
    base = path.parent if path.is_file() else path
    taken: set[Path] = set()
    partners: dict[tuple[Path, str, int], Path] = {}
    for file in files:
        for stem, side in _language_stems(file, sides):
            other = partners.setdefault((file.parent, stem, side), file)
            if other != file:
                raise InputError(f"{file}: {other.name} is the same side of the same text. Take one of them away.")
    for (folder, stem, side), file in partners.items():
        partner = partners.get((folder, stem, 1 - side))
        if partner is None:
            raise InputError(
                f"{file}: its translation is missing: no file {stem.replace('*', sides[1 - side].bcp47)} "
                f"(or with another code of {sides[1 - side].name}) beside it."
            )
        taken.add(file)
        if side == 0:
            plain = stem.removesuffix(".txt").replace("*", "").strip(".") or "pairs"
            name = (file.parent.relative_to(base) / plain).as_posix()
            yield {"name": name, "path": file, "target_path": partner, **_split_of(plain), **keys}
    for file in files:
        if file not in taken and _format_by_ending(file) not in (None, "txt"):
            stem = Path(_plain_name(file)).stem
            yield {"name": (file.parent.relative_to(base) / stem).as_posix(), "path": file, **_split_of(stem), **keys}


def _language_stems(file: Path, sides: tuple[Language, Language]) -> Iterator[tuple[str, int]]:
    """(`train.*`, side) for `train.ig`, `train.ig.gz` or `train.ig.txt`."""
    parts = _plain_name(file).split(".")
    place = -2 if parts[-1] == "txt" else -1
    if len(parts) + place < 0:
        return
    for side, language in enumerate(sides):
        if parts[place].casefold() in {name.casefold() for name in language.known_as}:
            yield ".".join("*" if i == len(parts) + place else part for i, part in enumerate(parts)), side


def _split_of(stem: str) -> dict[str, str]:
    split = _SPLIT_OF_STEM.get(stem.casefold())
    return {"split": split} if split else {}


def _with_own_names(found: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Source names of letters, digits, dot, dash and underscore, each used once."""
    used: set[str] = set()
    for values in found:
        plain = re.sub(r"[^a-zA-Z0-9._-]+", "-", values["name"]).strip("-._") or "source"
        name, number = plain, 1
        while name in used:
            number += 1
            name = f"{plain}-{number}"
        used.add(name)
        yield {**values, "name": name}
