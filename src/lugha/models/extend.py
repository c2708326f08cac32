"""Give a model embeddings for tokens that its tokenizer did not have, and change nothing else.

    extend_model(model, first=256_204, like=[[256_072], [246, 301]])

Row `first + i` becomes the mean of the rows `like[i]`, in the input embedding and, where the two are not one matrix, in the
output layer. NLLB-200 has 256,206 rows for 256,204 ids: what fits into unused rows costs no resizing. Matrices that were tied
stay tied (M2M100 reads one matrix in four places), and every row below `first` keeps its bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from lugha.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@torch.no_grad()
def extend_model(model: PreTrainedModel, first: int, like: Sequence[Sequence[int]]) -> None:
    """Set rows `first`, `first + 1`, ... to means of rows below `first`, after making room for them.

    Args:
        model: a whole model, not one with adapters.
        first: the id of the first new token; all ids below it are in use.
        like: for each new token at least one id below `first`.

    Raises:
        InputError: the model has fewer rows than `first`.
    """
    rows = check_rows(model, first)
    means = [_means(matrix, first, like) for matrix in embedding_matrices(model)]
    if first + len(like) > rows:
        # By means of its own the class would draw new rows from a normal distribution around all old ones.
        model.resize_token_embeddings(first + len(like), mean_resizing=False)
    for matrix, mean in zip(embedding_matrices(model), means, strict=True):
        matrix[first : first + len(like)] = mean


def check_rows(model: PreTrainedModel, ids: int) -> int:
    """The rows of a model's embedding.

    Raises:
        InputError: fewer than `ids`, the size of its tokenizer.
    """
    rows: int = model.get_input_embeddings().weight.shape[0]
    if rows < ids:
        raise InputError(
            f"The tokenizer has {ids} ids, but the model only {rows} rows of embeddings: they do not belong together. "
            "Take tokenizer and model from the same folder."
        )
    return rows


def is_tied(model: PreTrainedModel) -> bool:
    """Whether input and output embeddings are one matrix."""
    output = model.get_output_embeddings()
    return output is not None and output.weight is model.get_input_embeddings().weight


def embedding_matrices(model: PreTrainedModel) -> list[torch.Tensor]:
    """The matrices with one row for each id: one where they are tied, else two. Each [rows, width]."""
    matrices = [model.get_input_embeddings().weight]
    output = model.get_output_embeddings()
    if output is not None and not is_tied(model):
        matrices.append(output.weight)
    return matrices


def _means(matrix: torch.Tensor, first: int, like: Sequence[Sequence[int]]) -> torch.Tensor:
    """[new, width], summed in fp32."""
    for ids in like:
        assert ids and max(ids) < first
    if not like:
        return matrix[:0]
    return torch.stack([matrix[list(ids)].float().mean(dim=0) for ids in like]).to(matrix.dtype)
