"""What several processes of one training must agree on: they save and evaluate together, or wait for each other for ever."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from lugha.errors import LughaError

Answer = TypeVar("Answer")


def any_of(answers: Sequence[bool], args: Any) -> list[bool]:
    """For each question, whether any process answers yes; the answers themselves where there is one process.

    Args:
        args: the TrainingArguments.
    """
    if args.world_size == 1:
        return list(answers)
    import torch

    together = torch.tensor([float(answer) for answer in answers], device=args.device)
    torch.distributed.all_reduce(together, op=torch.distributed.ReduceOp.MAX)
    return [bool(answer) for answer in together.tolist()]


def wait_for_all(args: Any) -> None:
    """Wait until every process is here."""
    if args.world_size > 1:
        import torch

        torch.distributed.barrier()


def told_by_first(answer: Callable[[], Answer], args: Any) -> Answer:
    """What the first process finds out, in all of them; its error too.

    Raises:
        LughaError: whatever `answer` raised in the first process.
    """
    if args.world_size == 1:
        return answer()
    import torch

    said: list[Any] = [None]
    if args.process_index == 0:
        try:
            said = [answer()]
        except LughaError as error:
            said = [error]
    torch.distributed.broadcast_object_list(said, src=0, device=args.device)
    if isinstance(said[0], LughaError):
        raise said[0]
    result: Answer = said[0]
    return result
