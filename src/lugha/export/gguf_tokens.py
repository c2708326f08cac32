"""Do llama.cpp and tokenizer.json give the same ids? Asked of llama.cpp itself, on the text of the model's own languages.

    token_differences(Path("model.gguf"), load_tokenizer(folder), lines)  ->  [] or the lines that differ, with both ids

The GGUF is loaded by the prebuilt llama.cpp of the package `xllamacpp`, which answers `/tokenize` on a loopback port of its
own; no special tokens are added or looked for on either side. A single difference means that the exported model reads other
text than the one it was trained on.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

from tokenizers import Tokenizer

from lugha.errors import InputError
from lugha.tokens.encode import Encoder


@dataclass(frozen=True)
class TokenDifference:
    """One text that llama.cpp reads otherwise."""

    text: str
    ours: list[int]
    theirs: list[int]


def token_differences(gguf_path: Path, tokenizer: Tokenizer, texts: Iterable[str]) -> list[TokenDifference]:
    """Every text of `texts` whose ids in llama.cpp are not those of `tokenizer`, in order.

    Raises:
        InputError: `xllamacpp` is not installed, or llama.cpp does not load the file.
    """
    every = list(texts)
    encoded = Encoder(tokenizer).encode(every)
    differences = []
    with llama_cpp_tokenizer(gguf_path) as tokenize:
        for text, start, end in zip(every, encoded.offsets, encoded.offsets[1:], strict=False):
            ours, theirs = encoded.ids[start:end].tolist(), tokenize(text)
            if ours != theirs:
                differences.append(TokenDifference(text, ours, theirs))
    return differences


@contextlib.contextmanager
def llama_cpp_tokenizer(gguf_path: Path) -> Iterator[Callable[[str], list[int]]]:
    """llama.cpp's tokenizer for the file, as a function from a text to ids, while the context is open.

    Raises:
        InputError: `xllamacpp` is not installed, the file is missing, or llama.cpp does not load it.
    """
    try:
        xllamacpp = import_module("xllamacpp")
    except ImportError as error:
        raise InputError("Comparing with llama.cpp needs the package xllamacpp: pip install 'lugha[gguf]'") from error
    if not gguf_path.is_file():
        raise InputError(f"{gguf_path}: no such file.")
    key = secrets.token_urlsafe(16)
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(gguf_path)
    parameters.n_ctx = 64
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    parameters.warmup = parameters.ui = False
    parameters.verbosity = 0
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.api_keys = [key]
    try:
        server = xllamacpp.Server(parameters)
    except RuntimeError as error:
        raise InputError(f"{gguf_path}: llama.cpp does not load this file ({' '.join(str(error).split())}).") from error
    address = urlsplit(server.listening_address)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}

    def tokenize(text: str) -> list[int]:
        body = json.dumps({"content": text, "add_special": False, "parse_special": False})
        connection.request("POST", "/tokenize", body, headers)
        with connection.getresponse() as response:
            ids: list[int] = json.load(response)["tokens"]
        return ids

    try:
        yield tokenize
    finally:
        connection.close()
        del server
