"""Runs of a stock Hugging Face `Trainer` that cannot be lost: three lines in the script.

    from lugha.integrations.transformers import DurableCheckpoints

    durable = DurableCheckpoints(trainer, ["s3://bucket/prefix"], every="30m", deadline="168h", evaluation_share=0.05)
    trainer.add_callback(durable)
    trainer.train(resume_from_checkpoint=durable.resume_from("auto"))

Every checkpoint that Trainer writes is sealed, published to each store and read back; saves go by the clock; an evaluation
cannot stand between a step and its checkpoint, nor eat the run; the same script goes on after a kill, on an empty machine too.

What ends the script before its work is done ends it with one line on stderr and `SystemExit`: 75 when the same command goes on
with it (a signal, the deadline, a store that does not answer), 3 when something was refused, 2 for bad input. A stock Trainer
returns from `train()` after a signal as if it were finished, and the script would go on to export half a model.

The files are Trainer's own. The model is safetensors; `optimizer.pt`, `scheduler.pt` and `rng_state.pth` are pickles, which
transformers 5.23 loads with `weights_only=True` alone, and every byte of them was compared with the sealed manifest before. The
pickle `training_args.bin`, which nothing reads and which holds the Hub's token where the script gave one, is not published.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from lugha.errors import InputError, LughaError
from lugha.integrations.ranks import told_by_first
from lugha.integrations.settings import settings_of
from lugha.integrations.trainer_arguments import depends_on
from lugha.integrations.trainer_resume import RUNS, Found, at, check_same, newest
from lugha.integrations.watched_run import WatchedRun, watched_run
from lugha.integrations.watched_training import WatchedTraining
from lugha.runs.folder import RunFolder, new_run
from lugha.runs.notices import noticed
from lugha.runs.stopping import stopping

if TYPE_CHECKING:
    from transformers import Trainer

AUTO = "auto"


class DurableCheckpoints(TrainerCallback):  # type: ignore[misc]
    """The callback; see the module's story. One for each Trainer."""

    def __init__(
        self,
        trainer: Trainer,
        stores: Sequence[str],
        *,
        every: str = "30m",
        deadline: str | None = None,
        grace: str = "30s",
        evaluation_share: float = 0.05,
        max_unverified_age: str = "2h",
        stop_unverified_age: str | None = None,
        private: bool = True,
        s3_endpoint: str | None = None,
        s3_region: str | None = None,
        name: str | None = None,
        allow_changed: Sequence[str] = (),
    ) -> None:
        """Check all values; nothing is asked of a store yet.

        Args:
            trainer: the Trainer that it will be added to.
            stores: `s3://bucket/prefix`, `hf://user/repo`, or the folder of a mount; with none, checkpoints are only sealed.
            every: time between saves, beside those that the Trainer's arguments ask for.
            deadline: stop by itself, everything saved and published, before this: a duration from the start of the process
                (168h), or a time with its zone (2026-11-27T12:00Z).
            grace: time that the place gives between SIGTERM and the kill.
            evaluation_share: of the time that evaluations may take.
            max_unverified_age: age of the newest verified state at which the run turns red.
            stop_unverified_age: age at which it stops; default: twice that.
            private: a Hub repository that does not exist yet is made private.
            name: of the runs, by which they are found again in a store; default: that of the output folder.
            allow_changed: values (`learning_rate`, say) in which a resumed run may differ from its checkpoint.

        Raises:
            SystemExit: a value is wrong.
        """
        self._trainer = trainer
        self._found: Found | None = None
        self._known_runs: set[str] = set()
        self._training: WatchedTraining | None = None
        self._open = contextlib.ExitStack()
        with self._leaving_with_one_line():
            self._settings = settings_of(
                stores=list(stores) if not isinstance(stores, str) else stores,
                every=every,
                deadline=deadline,
                grace=grace,
                evaluation_share=evaluation_share,
                allow_changed=allow_changed,
                max_unverified_age=max_unverified_age,
                stop_unverified_age=stop_unverified_age,
                private=private,
                s3_endpoint=s3_endpoint,
                s3_region=s3_region,
            )
        self._output_dir = Path(trainer.args.output_dir)
        self.name = re.sub(r"[^A-Za-z0-9._-]+", "-", name or self._output_dir.resolve().name).strip("-.") or "trainer"

    def resume_from(self, where: str = AUTO) -> str | None:
        """The checkpoint to hand to `trainer.train`; None on a first start.

        Args:
            where: `auto`: the newest verified one of `output_dir` and all stores; or a store, `store@step`, or a path.

        Raises:
            SystemExit: there are checkpoints but none is whole, what is named is not there, it was made with other values, or
                a store does not answer.
        """
        with self._leaving_with_one_line():
            if self not in self._trainer.callback_handler.callbacks:
                raise InputError("trainer.add_callback(durable) is missing, so nothing would be saved by it.")
            told = told_by_first(lambda: self._find(where), self._trainer.args)
            self._found = self._found or told
        if self._found is None:
            return None
        self._say(f"going on from {self._found.folder} (step {self._found.manifest.step:,}), every byte of it verified.")
        return str(self._found.folder)

    def _find(self, where: str) -> Found | None:
        """For the first process: what it finds, as the others need to know it."""
        if where == AUTO:
            stores, private = self._settings.stores, self._settings.publish.private
            found, self._known_runs = newest(self._output_dir, name=self.name, stores=stores, private=private, say=self._say)
        else:
            found = at(where, self._output_dir, section=self._settings.publish, say=self._say)
        if found is not None:
            changed = check_same(depends_on(self._trainer), found, self._settings.allow_changed)
            if changed:
                self._say(f"changed, as allowed: {', '.join(changed)}.")
        self._found = found
        return dataclasses.replace(found, copies=()) if found else None

    # Hooks of Trainer, in the order in which it calls them.

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Check the stores with a canary, and begin to watch."""
        self._close()
        with self._leaving_with_one_line():
            _check_arguments(args, state)
            self._begin(args, state)
        if state.global_step >= state.max_steps > 0:
            # Trainer would train one step more than it was told, each time that a finished run is started again.
            control.should_training_stop = True
            self._trainer.get_batch_samples = lambda *arguments: ([], None)

    def on_step_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Nothing of the last step is left to do."""
        if self._training:
            self._training.step_began()

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Decide what is saved, what is evaluated, and whether to stop."""
        if self._training:
            with self._leaving_with_one_line():
                self._training.step_ended()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **rest: Any) -> None:
        """Trainer logs before it evaluates."""
        if self._training:
            with self._leaving_with_one_line():
                self._training.logged(logs or {})

    def on_prediction_step(self, args: Any, state: Any, control: Any, eval_dataloader: Any = None, **rest: Any) -> None:
        """Measure the evaluation, and hear a wish to stop."""
        if self._training:
            with self._leaving_with_one_line():
                self._training.batch_predicted(eval_dataloader)

    def on_evaluate(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Training must not notice that there was an evaluation."""
        if self._training:
            self._training.evaluated()

    def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Seal and publish."""
        if self._training:
            with self._leaving_with_one_line():
                self._training.saved()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """As at the end of a step."""
        if self._training:
            with self._leaving_with_one_line():
                self._training.epoch_ended()

    def on_train_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Wait for the last verification; leave the script unless all is done and verified."""
        with self._leaving_with_one_line():
            if self._training:
                self._training.ended()
                self._shut()  # a signal of this last moment is heard too

    def _begin(self, args: Any, state: Any) -> None:
        settings, first = self._settings, bool(state.is_world_process_zero)
        found = self._found if self._found and self._found.manifest.step == state.global_step else None
        watched: WatchedRun | None = None
        if first:
            root = self._output_dir / RUNS
            if found and found.is_newest:
                run = RunFolder(root / found.manifest.run)
            else:
                root.mkdir(parents=True, exist_ok=True)
                run = new_run(root, self.name, known=self._known_runs | ({found.manifest.run} if found else set()))
            watched = self._open.enter_context(
                watched_run(
                    run,
                    self._output_dir,
                    settings.publish,
                    settings.stores,
                    depends_on=depends_on(self._trainer),
                    found=found,
                    say=self._say,
                )
            )
        stop = self._open.enter_context(
            stopping(run=watched.run.path if watched else None, deadline=settings.deadline, grace=settings.grace)
        )
        self._open.enter_context(noticed(stop.ask))
        self._training = WatchedTraining(self._trainer, settings, stop, watched, self._say)
        # Trainer deletes by modification time, and before a newer checkpoint is sealed: here it is done behind that.
        for changed in ("save_total_limit", "load_best_model_at_end"):
            self._open.callback(setattr, args, changed, getattr(args, changed))
        args.save_total_limit = None
        atexit.register(self._abandoned)

    def _abandoned(self) -> None:
        """The script ends, and training did not: an error that is not ours left it."""
        if self._training:
            with contextlib.suppress(LughaError):
                self._training.abandoned()
        self._close()

    def _shut(self) -> None:
        """Leave everything as it was.

        Raises:
            InterruptedRunError: a signal came.
        """
        atexit.unregister(self._abandoned)
        self._training = None
        vars(self._trainer).pop("get_batch_samples", None)
        self._open.close()

    def _close(self) -> None:
        with contextlib.suppress(LughaError):  # that a signal came is said already
            self._shut()

    @contextlib.contextmanager
    def _leaving_with_one_line(self) -> Iterator[None]:
        """An error of lugha is one line, and the exit code of the script.

        Raises:
            SystemExit: with the `LughaError` as its cause.
        """
        try:
            yield
        except LughaError as error:
            self._say(str(error))
            self._close()
            raise SystemExit(error.exit_code) from error

    def _say(self, text: str) -> None:
        if self._trainer.args.process_index == 0:
            print(f"lugha: {text}", file=sys.stderr, flush=True)


def _check_arguments(args: Any, state: Any) -> None:
    """Refuse what cannot be made durable.

    Raises:
        InputError: names the argument.
    """
    if args.save_only_model:
        raise InputError(
            "save_only_model=True leaves out the optimiser: nobody can go on from such a checkpoint. Leave it off."
        )
    if args.enable_jit_checkpoint:
        raise InputError("enable_jit_checkpoint=True answers SIGTERM too, and ends as if it were finished. Leave it off.")
    if state.is_hyper_param_search:
        raise InputError("hyperparameter_search trains many short runs: it has no checkpoint to go on from.")
