"""At the start of a run: its ledger is made to say what its stores hold.

A machine that was lost took its ledger with it, and a store may have been emptied by somebody. What publishing need not send
again, and what retention may delete behind, is decided by the ledger; so it must not be a memory of better days.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from lugha.checkpoints.format import sealed
from lugha.checkpoints.published import Published
from lugha.checkpoints.retention import GONE
from lugha.checkpoints.stores.protocol import Store
from lugha.runs.folder import RunFolder
from lugha.runs.ledger import Ledger


def reconcile(run: RunFolder, store: Store, listed: Sequence[Published]) -> None:
    """Write down what is verified in a store and was not known, and what was and is not any more.

    Args:
        listed: all of the store.

    Raises:
        RefusedError: another process works in the run.
        InterruptedRunError: the disk is full.
    """
    there = {one.name: one for one in listed if one.verified and one.run == run.id}
    ledger = Ledger(run.ledger)
    with run.lock():
        known = ledger.verified().get(store.address, {})
        for name, one in sorted(there.items(), key=lambda item: item[1].step):
            assert one.manifest is not None
            digest = hashlib.sha256(sealed(one.manifest)).hexdigest()
            if known.get(name, {}).get("manifest") != digest:
                ledger.write(
                    "verified",
                    store=store.address,
                    step=one.step,
                    name=name,
                    bytes=one.bytes,
                    seconds=0.0,
                    manifest=digest,
                    why="found there at the start",
                )
        for name in known.keys() - there.keys():
            line = known[name]
            ledger.write("deleted", store=store.address, step=line["step"], name=name, bytes=line["bytes"], why=GONE)
