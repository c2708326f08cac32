"""One training of a stock Trainer, watched: when it saves, evaluates and stops.

Trainer's own order at the end of a step is: log, evaluate, save, rotate. What is changed here, moment by moment:

    step_ended      a clock, a deadline, a signal or the policy of publishing may want a save; what is saved is saved before
                    anything is evaluated (step_plan.py); an evaluation that costs too much is left out
    batch_predicted the evaluation is measured while it runs; a wish to stop is heard in its middle, and the step is saved then
    evaluated       the random numbers stand where they stood before it
    saved           the folder is sealed, handed to the publisher, and older ones may go
    ended           everything is verified, or the script leaves with an exit code that says that it is not

Of several processes all watch, and agree on what to do; the first one seals and publishes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lugha.errors import InterruptedRunError, RefusedError
from lugha.integrations.evaluation_budget import TimeSpent
from lugha.integrations.random_state import set_back
from lugha.integrations.ranks import any_of, wait_for_all
from lugha.integrations.running_evaluation import RunningEvaluation, is_overdue, steps_between
from lugha.integrations.settings import Settings
from lugha.integrations.step_plan import Moment, plan_for
from lugha.integrations.trainer_folder import folder_of, set_aside, settle
from lugha.integrations.watched_run import WatchedRun
from lugha.runs.deadline import first_save_within, reserve
from lugha.runs.manifest import MANIFEST
from lugha.runs.rates import format_duration
from lugha.runs.stopping import Stop

if TYPE_CHECKING:
    from transformers import Trainer

_BEST = "best"  # SaveStrategy.BEST


class WatchedTraining:
    """From the beginning to the end of `trainer.train()`; the methods are the moments of the module's story."""

    def __init__(
        self, trainer: Trainer, settings: Settings, stop: Stop, watched: WatchedRun | None, say: Callable[[str], None]
    ) -> None:
        """Training begins.

        Args:
            watched: the run's record; None in any process but the first.
        """
        self._trainer, self._settings, self._stop, self._watched, self._say = trainer, settings, stop, watched, say
        self._args, state = trainer.args, trainer.state
        self._output_dir = Path(self._args.output_dir)
        self._keep = self._args.save_total_limit
        self._time = TimeSpent()
        self._saved_step = state.global_step  # what it begins with is saved, or nothing
        self._logged_step = -1
        self._save_seconds: float | None = None
        within = first_save_within(settings.deadline) if settings.deadline else math.inf
        self._next_save = time.monotonic() + min(settings.every, within)
        self._evaluation: RunningEvaluation | None = RunningEvaluation() if self._args.eval_on_start else None
        self._last_evaluation: float | None = None  # seconds
        self._overdue_evaluation = is_overdue(self._args, state)
        self._save_after_log = False
        self.stopped: str | None = None

    # The moments.

    def step_began(self) -> None:
        """What belonged to the step before is over."""
        self._close_evaluation()

    def step_ended(self) -> None:
        """An update was made."""
        self._time.passed("training")
        state, control = self._trainer.state, self._trainer.control
        if self._overdue_evaluation:
            control.should_evaluate, self._overdue_evaluation = True, False
        # Trainer will evaluate at the end of the epoch, which is this step; by then it is saved.
        if control.should_training_stop or (self._args.eval_strategy == "epoch" and state.epoch == round(state.epoch)):
            control.should_save = True
        self._plan()

    def epoch_ended(self) -> None:
        """All batches of an epoch were seen, or training ends."""
        self._close_evaluation()
        control = self._trainer.control
        control.should_save = control.should_save or control.should_training_stop
        self._plan()

    def logged(self, logs: dict[str, Any]) -> None:
        """A line of the log was written; it comes before the evaluation, and belongs into the checkpoint."""
        if "loss" in logs:
            self._logged_step = self._trainer.state.global_step
        if self._save_after_log:
            self._save()

    def batch_predicted(self, loader: Any) -> None:
        """A batch of an evaluation is done.

        Raises:
            InterruptedRunError: somebody asked to stop; the step is saved.
            RefusedError: the evaluation would take far more than its share.
        """
        running = self._evaluation
        if running is None:  # one that the script asked for outside of training
            return
        running.batch(loader, self._time.passed("evaluation"))
        if self._save_after_log:
            self._save()
        why, too_long = self._why_to_stop(), self._why_too_long(running, loader)
        stopping, refused = any_of([why is not None, too_long is not None], self._args)
        if stopping:
            self._stopped_by(why)
            if self._saved_step != self._trainer.state.global_step:
                self._save()
            self.ended()
        if refused:
            self.stopped = "an evaluation that would not end"
            self._wait_for_stores()
            wait_for_all(self._args)  # who leaves first would have the others killed
            raise RefusedError(too_long or "Evaluation: refused by another process.")

    def evaluated(self) -> None:
        """An evaluation, or that of one of several data sets, is done."""
        if self._evaluation is None:
            return
        self._evaluation.seconds += self._time.passed("evaluation")
        set_back(self._evaluation.before)
        if self._trainer.control.should_save or self._args.save_strategy == _BEST:
            self._make_way()

    def saved(self) -> None:
        """Trainer has finished the folder of the step.

        Raises:
            InterruptedRunError: the disk is full.
        """
        wait_for_all(self._args)  # each process has its own file of random numbers
        state = self._trainer.state
        if self._watched is not None:
            best = [Path(state.best_model_checkpoint)] if state.best_model_checkpoint else []
            self._watched.saved(state.global_step, keep=self._kept(), spared=best, give_up=self._gives_up)
        self._saved_step = state.global_step
        self._save_seconds = self._time.passed("saving")
        self._next_save = time.monotonic() + self._settings.every
        self._stop.saved()
        if self._is_asked_to_stop():  # now is the moment that costs nothing
            self._trainer.control.should_evaluate = False
            self._evaluation = None

    def ended(self) -> None:
        """Training ends: wait until all is verified.

        Raises:
            InterruptedRunError: it was stopped before its end, or not everything could be verified.
        """
        state = self._trainer.state
        if self._watched is not None:
            settle(self._output_dir)
        finished = self.stopped is None
        if finished and self._saved_step != state.global_step and not self._args.load_best_model_at_end:
            self._save()  # another callback ended the training, behind ours
        missing = self._wait_for_stores()
        if not finished:
            wait_for_all(self._args)  # who leaves first would have the others killed
            raise InterruptedRunError(
                f"Stopped at step {state.global_step:,} of {state.max_steps:,} by {self.stopped}; "
                f"saved {folder_of(self._output_dir, self._saved_step) if self._saved_step else 'nothing yet'}"
                f"{' (not verified in every store)' if missing else ''}. The same script goes on from there."
            )
        if missing:
            raise InterruptedRunError(
                f"Training is done, but its result is not verified: {missing[0]}. "
                "Nothing is lost while this disk lives; the same script goes on with publishing."
            )

    def abandoned(self) -> None:
        """The process ends and training did not: what is saved already is still published, within the grace."""
        if self._watched is None:
            return
        self._say(f"training ended by an error; the newest checkpoint is that of step {self._saved_step:,}.")
        self._watched.abandoned(self._settings.grace, say=self._say)

    # How.

    def _plan(self) -> None:
        """Decide what Trainer does next, and do what it would not."""
        args, state, control = self._args, self._trainer.state, self._trainer.control
        why, now = self._why_to_stop(), time.monotonic()
        due = now >= self._next_save or self._stop.save_asked()
        too_much = self._why_no_evaluation() if control.should_evaluate else None
        lasts = self._last_evaluation
        long = lasts is None or now + 1.5 * lasts > self._next_save
        stopping, due, long, unaffordable = any_of([why is not None, due, long, too_much is not None], args)
        plan = plan_for(
            Moment(
                save_wanted=control.should_save or due,
                evaluation_wanted=control.should_evaluate,
                stopping=stopping,
                saved=self._saved_step == state.global_step,
                evaluation_is_short=not long,
                evaluation_is_affordable=not unaffordable,
                best_is_tracked=args.metric_for_best_model is not None,
                best_only=args.save_strategy == _BEST,
            )
        )
        if stopping:
            self._stopped_by(why)
        elif unaffordable:
            self._say(f"step {state.global_step:,}: evaluation left out, {too_much or 'in another process'}.")
        control.should_evaluate, control.should_save = plan.evaluate, plan.save
        self._evaluation = RunningEvaluation() if plan.evaluate else None
        if plan.save_first:
            # What is logged at this step belongs into its checkpoint.
            self._save_after_log = control.should_log and self._logged_step < state.global_step
            if not self._save_after_log:
                self._save()
        elif plan.save and not plan.evaluate:
            self._make_way()

    def _save(self) -> None:
        """Have Trainer save now, as it is; there is no public way to ask it between two moments of its own."""
        trainer, self._save_after_log = self._trainer, False
        wanted = trainer.control.should_save
        if self._evaluation is not None:
            set_back(self._evaluation.before)
        self._make_way()
        trainer._save_checkpoint(trainer.model, trial=None)
        trainer.control = trainer.callback_handler.on_save(trainer.args, trainer.state, trainer.control)
        trainer.control.should_save = wanted and self.stopped is None

    def _make_way(self) -> None:
        """Trainer writes into the folder of this step next: what stands there is moved aside."""
        if self._watched is not None:
            set_aside(folder_of(self._output_dir, self._trainer.state.global_step))
        wait_for_all(self._args)

    def _close_evaluation(self) -> None:
        if self._evaluation is None:
            return
        if self._evaluation.seconds:
            self._last_evaluation = self._evaluation.seconds
        self._evaluation = None
        if self._watched is not None:
            settle(self._output_dir)  # Trainer did not save after all: the best was another

    def _why_to_stop(self) -> str | None:
        deadline, needed = self._settings.deadline, 0.0
        if deadline is not None:
            publish = self._watched.publisher.seconds if self._watched else 0.0
            needed = reserve(deadline, save=self._save_seconds, publish=publish, between_checks=self._time.step_seconds)
        policy = self._watched.publisher.stop_reason() if self._watched else None
        return self._stop.reason(needed) or policy

    def _is_asked_to_stop(self) -> bool:
        """Whether any process is; then training ends here."""
        why = self._why_to_stop()
        (stopping,) = any_of([why is not None], self._args)
        if stopping:
            self._stopped_by(why)
        return stopping

    def _stopped_by(self, why: str | None) -> None:
        self.stopped = self.stopped or why or "a wish of another process"
        self._trainer.control.should_training_stop = True
        # Trainer would load the best model next, in the time that is left for publishing.
        self._trainer.args.load_best_model_at_end = False

    def _gives_up(self) -> bool:
        return self._why_to_stop() is not None

    def _kept(self) -> int | None:
        """How many checkpoints stay on this disk: one alone only when there are copies elsewhere."""
        if not self._keep or self._keep < 0:
            return None
        keep = int(self._keep)
        return keep if self._settings.stores else max(2, keep)

    def _why_no_evaluation(self) -> str | None:
        """Why the evaluation that is due is left out; never the last one for its share."""
        lasts, left = self._last_evaluation, self._stop.seconds_left()
        if lasts is not None and lasts > left:
            return f"it takes {format_duration(lasts)}, and {format_duration(left)} are left"
        if self._trainer.control.should_training_stop:
            return None
        return self._time.too_much_evaluation(self._settings.evaluation_share)

    def _why_too_long(self, running: RunningEvaluation, loader: Any) -> str | None:
        if not self._time.steps:  # before the first step: nothing to compare it with
            return None
        steps = steps_between(self._args, self._trainer.state)
        return running.refusal(
            loader, steps=steps, step_seconds=self._time.step_seconds, share=self._settings.evaluation_share
        )

    def _wait_for_stores(self) -> list[str]:
        """Publish what can be; returns what is not verified, in words."""
        if self._watched is None:
            return []
        result = self._result() if self.stopped is None else None
        return self._watched.wait_for_stores(self._stop, result=result, stopped=self.stopped, say=self._say)

    def _result(self) -> Path | None:
        """The checkpoint that the training is about: the best, where Trainer looks for it, else the last."""
        best = self._trainer.state.best_model_checkpoint if self._args.load_best_model_at_end else None
        for folder in (Path(best) if best else None, folder_of(self._output_dir, self._saved_step)):
            if folder is not None and (folder / MANIFEST).is_file():
                return folder
        return None
