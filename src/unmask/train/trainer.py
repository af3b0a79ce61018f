"""The trainer of all objectives: noises, scores once, and divides the summed loss once by the summed count."""

import contextlib
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from unmask.core.batch import Batch
from unmask.core.protocols import Noised, Objective, Scored
from unmask.core.random import Draws
from unmask.errors import NonFiniteError, UserError
from unmask.models import LoadedModel
from unmask.models.facts import Facts
from unmask.models.heads import restore_heads
from unmask.runtime.durable import space_for
from unmask.train import checkpoints
from unmask.train.average import Average
from unmask.train.best import Best
from unmask.train.checkpoints import StopSignals
from unmask.train.metrics import Totals
from unmask.train.precision import MasterWeights
from unmask.train.tally import SIZE, shown, tally

__all__ = [
    "DiffusionTrainer",
    "PrinterCallback",
    "TrainerCallback",
    "TrainerControl",
    "TrainerState",
    "TrainingArguments",
]


class Saves(Protocol):
    """What the trainer asks of the callback that saves."""

    best: Best

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint is too old."""
        ...


class DiffusionTrainer(Trainer):
    """Trains a loaded model with any objective.

    The loss of a window (all micro-batches of an optimiser step, on all ranks) is sum(losses) / sum(counts). The
    micro-batches' sums are back-propagated as they are; when the window is complete the gradients are scaled once. So
    4 x 1 rows and 1 x 4 accumulated rows give the same step, and no normaliser has to know of accumulation or ranks.

    Args:
        lm: the model that is trained.
        objective: the method.
        draws: noise, keyed by each example's global position.
        keep: how many of the newest checkpoints stay.
        arguments: transformers' own; ``output_dir`` is the folder of checkpoints.
        **rest: passed to ``transformers.Trainer``.

    Raises:
        UserError: DeepSpeed is enabled.
    """

    def __init__(
        self,
        lm: LoadedModel,
        objective: Objective,
        *,
        draws: Draws,
        keep: int,
        arguments: TrainingArguments,
        **rest: Any,
    ) -> None:
        arguments._n_gpu = min(arguments.n_gpu, 1)  # never nn.DataParallel: it would split an already laid-out batch
        super().__init__(model=lm.model, args=arguments, **rest)
        self.model_accepts_loss_kwargs = False  # our loss is summed; nobody else may rescale it
        self.lm, self.draws, self.keep = lm, draws, keep
        self.objective: Objective = objective
        self.totals = Totals()
        self.window_loss = float("nan")
        self.grad_norm: float | None = None
        self.signals = StopSignals()
        self.saver: Saves | None = None
        self.average: Average | None = None
        self.master: MasterWeights | None = None
        self.facts: Facts | None = None
        self.must_save = self._must_stop = False
        self._window = torch.zeros(8, dtype=torch.float64)
        self._tally = torch.zeros(SIZE, device=arguments.device)
        self.shown: dict[str, object] = {}
        self._sources: list[str] = []  # of the window that is open
        self._updated_on: list[str] = []
        if self.is_deepspeed_enabled:
            raise UserError("DeepSpeed rescales gradients out of our reach; use DDP or FSDP2 through accelerate")

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Back-propagate one micro-batch; at the end of the window scale the gradients.

        Returns the window's loss in nats at its end, a scalar; 0 before.
        """
        del num_items_in_batch
        model.train()
        batch: Batch = inputs["batch"].to(self.args.device)
        self._sources += inputs["sources"]
        before = (self.lm.flops.tokens, self.lm.flops.flops)
        with self.compute_loss_context_manager(), self.lm.through(model):
            noised = self.objective.noise(batch, model=self.lm, draws=self.draws, progress=self._progress())
            scored = self.lm.score(noised.query, noised.query_positions, noised.targets, want=self.objective.want)
            loss = self.objective.loss(scored, noised)
        self._refuse_non_finite(loss, scored, noised, inputs["sources"])
        self._tally += tally(batch, noised, scored, mask_id=self.lm.mask_id)
        self.accelerator.backward(loss)
        read = self.lm.flops.tokens - before[0], self.lm.flops.flops - before[1]
        self._window[:6] += torch.tensor(
            [float(loss.detach()), float(noised.count), len(batch.order), len(noised.query_positions), *read],
            dtype=torch.float64,
        )
        if not self.accelerator.sync_gradients:
            return torch.zeros((), device=self.args.device)
        return self._close_window(model)

    def total(self, values: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes; every process must call it."""
        summed: Tensor = self.accelerator.reduce(values, "sum")
        return summed

    def _progress(self) -> float:
        return self.state.global_step / max(self.state.max_steps, 1)

    @property
    def must_stop(self) -> bool:
        """Whether a signal has come, to this process or, in the window that was closed last, to any."""
        return self._must_stop or (self.accelerator.num_processes == 1 and self.signals.number is not None)

    def _close_window(self, model: nn.Module) -> Tensor:
        """Sum over ranks, scale gradients by 1 / count (DDP has averaged them over ranks: undo that), add up totals.

        If one rank requests to stop or to save, all do. Returns the window's loss, a scalar.
        """
        self._window[6] = self.signals.number is not None
        self._window[7] = self.saver is not None and self.saver.is_due
        window = torch.cat([self._window.to(self.args.device, torch.float32), self._tally])
        total = self.accelerator.reduce(window, "sum").double().cpu()
        loss, count, examples, supervised, tokens, flops, stop, save = total[:8].tolist()
        self.shown = shown(total[8:])
        self._window.zero_()
        self._tally.zero_()
        self._must_stop, self.must_save = stop > 0, save > 0
        scale = self.accelerator.num_processes / max(count, 1.0)
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(scale)
        self.window_loss = loss / max(count, 1.0)
        self.totals.examples += round(examples)
        self.totals.supervised_tokens += round(supervised)
        self.totals.forward_tokens += round(tokens)
        self.totals.flops += flops
        return torch.tensor(self.window_loss, device=self.args.device)

    def _refuse_non_finite(self, loss: Tensor, scored: Scored, noised: Noised, sources: list[str]) -> None:
        if bool(torch.isfinite(loss)):
            return
        bad = noised.example[~torch.isfinite(scored.nll)].unique().tolist()
        raise self.non_finite(f"the loss is {float(loss.detach())}", [sources[i] for i in bad] or sources)

    def non_finite(self, what: str, sources: Sequence[str], *, is_done: bool = False) -> NonFiniteError:
        """Return the error for a value that is NaN or infinite.

        Args:
            what: value that is not finite.
            sources: of the examples.
            is_done: whether it was found after the step, not in it.

        Returns:
            An error that names the value, the step, the examples and the last good checkpoint.
        """
        last = checkpoints.newest(Path(str(self.args.output_dir)))
        step = f"after step {self.state.global_step}" if is_done else f"at step {self.state.global_step + 1}"
        shown = [str(source) for source in sources[:8]] + ["…"][: len(sources) > 8]
        return NonFiniteError(
            f"{what} {step}, on {', '.join(shown)}; last good checkpoint: {last or 'none'}; lower run.lr or look at "
            "these examples",
            sources,
        )

    def _get_grad_norm(self, model: nn.Module, grad_norm: Tensor | float | None = None) -> Tensor | float | None:
        """Return the norm before clipping; a ``NonFiniteError`` if it is not finite, before any weight changes."""
        self.grad_norm = super()._get_grad_norm(model, grad_norm=grad_norm)  # type: ignore[no-untyped-call]  # transformers'
        if self.grad_norm is not None and not math.isfinite(self.grad_norm):
            raise self.non_finite(f"the norm of the gradient is {float(self.grad_norm)}", self._sources)
        self._sources, self._updated_on = [], self._sources
        return self.grad_norm

    def refuse_non_finite_weights(self) -> None:
        """Check that every trained weight is finite after the last update, on all ranks.

        Raises:
            NonFiniteError: names a weight that is not.
        """  # noqa: DOC503
        trained = [(name, weight) for name, weight in self.lm.model.named_parameters() if weight.requires_grad]
        local = [(name, weight.to_local() if isinstance(weight, DTensor) else weight) for name, weight in trained]
        bad = [name for name, weight in local if not bool(weight.detach().isfinite().all())]
        found = self.accelerator.reduce(torch.tensor(float(len(bad)), device=self.args.device), "sum")
        if float(found):
            what = f"the weight {bad[0]} is not finite" if bad else "a weight of another process is not finite"
            raise self.non_finite(what, self._updated_on, is_done=True)

    def create_optimizer(self, *rest: Any, **options: Any) -> torch.optim.Optimizer:
        """Return the optimizer, in which every head is a group with its own learning rate and no weight decay."""
        optimizer = super().create_optimizer(*rest, **options)
        for head in self.lm.heads.values():
            mine = {id(p) for p in head.parameters()}
            for group in optimizer.param_groups:
                group["params"] = [p for p in group["params"] if id(p) not in mine]
            optimizer.add_param_group({"params": list(head.parameters()), "lr": head.lr, "weight_decay": 0.0})
        if self.master is not None:
            self.master.attach(optimizer)
        return optimizer

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Load the state of the optimizer, and the float32 copies that it updates."""
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None and self.master is not None:
            self.master.restore(Path(checkpoint))

    def _get_train_sampler(self, *_: object) -> SequentialSampler:
        """Return a sampler that reads in sequence: the data set holds the order of the run."""
        return SequentialSampler(cast("Sized", self.train_dataset))

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Return 0: the loaded model counts its operations itself."""
        del inputs
        return 0

    def _save(self, output_dir: str | None = None, state_dict: Mapping[str, Tensor] | None = None) -> None:
        """Save through the loaded model, so that a checkpoint carries its facts and loads like any saved model."""
        before = self.lm.facts
        self.lm.facts = self.facts or before  # while it trains, the model is read as its text is laid out
        try:
            self.lm.save(output_dir or str(self.args.output_dir), state_dict=state_dict)
        finally:
            self.lm.facts = before

    def restore(self, folder: Path) -> None:
        """Load the weights of a checkpoint, and their average if there is one, without training on."""
        self._load_from_checkpoint(str(folder))
        if self.average is not None:
            self.average.restore(folder)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """Load the weights of a checkpoint, and those of the heads, which have a file of their own."""
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        restore_heads(self.lm, Path(resume_from_checkpoint))

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write the checkpoint into a staging folder, then publish it in one rename.

        A weight that is not finite is a ``NonFiniteError``; a full disk is a ``UserError``, and the earlier checkpoints
        stay whole.
        """
        self.refuse_non_finite_weights()
        root = Path(str(self.args.output_dir))
        name = f"{checkpoints.PREFIX}{self.state.global_step}"
        with space_for(str(root / name), lambda: _after_a_full_disk(root)), self._staging(root) as staging:
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()  # every rank writes its own random state into the staged folder
            if self.args.should_save:
                self.totals.tick()
                self.totals.save(staging / name)
                assert self.saver is not None  # without it no checkpoint is asked for
                best = self.saver.best
                best.save(staging / name)
                for state in (self.average, self.master):
                    if state is not None:
                        state.save(staging / name)
                checkpoints.publish(staging / name, root / name)
                checkpoints.rotate(root, self.keep, self.state.global_step, () if best.step is None else (best.step,))
        self.accelerator.wait_for_everyone()

    @contextlib.contextmanager
    def _staging(self, root: Path) -> Iterator[Path]:
        staging = root / checkpoints.STAGING
        if self.args.should_save:
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(parents=True)
        self.accelerator.wait_for_everyone()  # nobody may write into the folder that is being cleared
        self._staged = str(staging)
        try:
            yield staging
        finally:
            del self._staged
            if self.args.should_save:
                shutil.rmtree(staging, ignore_errors=True)

    def _get_output_dir(self, trial: Any) -> str:
        return getattr(self, "_staged", None) or super()._get_output_dir(trial)


def _after_a_full_disk(root: Path) -> str:
    """Return the advice for a run whose checkpoint could not be written."""
    last = checkpoints.newest(root)
    return f"make room and go on from {last.name} by --resume" if last else "make room and begin again"
