"""The stores of a run: opened and tried before the first step, fed while it trains, pruned behind what is verified."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from lugha.checkpoints.canary import check_store
from lugha.checkpoints.publisher import Publisher
from lugha.checkpoints.retention import prune_published
from lugha.checkpoints.stores.open import open_store
from lugha.checkpoints.stores.protocol import Store
from lugha.recipe import Recipe
from lugha.runs.folder import RunFolder
from lugha.runs.ledger import Ledger
from lugha.runs.rates import format_duration
from lugha.runs.status import RunStatus
from lugha.training.distributed import Ranks, shared_errors


@contextlib.contextmanager
def publishing(
    recipe: Recipe, run: RunFolder, ranks: Ranks, *, ledger: Ledger, status: RunStatus, say: Callable[[str], None]
) -> Iterator[Publisher]:
    """Publish to the recipe's stores inside the block; only the first process does, the others get one without stores.

    Raises:
        InputError: an address that is none, or a package that is not installed.
        RefusedError: a store refuses what a run needs of it.
        InterruptedRunError: a store cannot be reached for now.
    """
    section = recipe.publish
    with shared_errors():
        stores = [open_store(address, section) for address in section.stores] if ranks.first else []
        for store in stores:
            check_store(store, run=run.id, private=section.private, say=say)

    def after_verified(store: Store, name: str) -> None:
        line = ledger.verified().get(store.address, {}).get(name)
        if line:
            say(f"step {line['step']:,} verified in {store.address} after {format_duration(line['seconds'])}")
        prune_published(store, run, recipe.checkpoints, section, ledger=ledger)

    with Publisher(run, section, stores, ledger=ledger, status=status, after_verified=after_verified) as publisher:
        yield publisher
