"""Training that can be stopped at any moment and goes on as if it had not been.

Every random number of a step is a function of (seed, step), so a checkpoint needs no generator state.
"""

from __future__ import annotations

import json
import math
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Phase:
    """So many steps on batches of `batch` crops of `size` pixels."""

    size: int
    batch: int
    steps: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A whole training run. The learning rate warms up, stays, and falls linearly to zero over the last `cool_down`
    steps; so it does before each step of `restarts`, where it begins again as it was (Loshchilov & Hutter 2017)."""

    net: Any  # the network's configuration, a dataclass
    phases: tuple[Phase, ...]
    lr: float
    warm_up: int = 200
    cool_down: int = 2000
    restarts: tuple[int, ...] = ()
    ema: float
    seed: int = 0
    report_every: int = 50
    evaluate_every: int = 500
    save_seconds: float = 240

    @property
    def steps(self) -> int:
        return sum(phase.steps for phase in self.phases)

    def phase(self, step: int) -> Phase:
        for phase in self.phases:
            if step < phase.steps:
                return phase
            step -= phase.steps
        raise IndexError("the plan has no such step")

    def learning_rate(self, step: int) -> float:
        end = next(end for end in (*self.restarts, self.steps) if step < end)
        return self.lr * min(1.0, (step + 1) / self.warm_up, (end - step) / self.cool_down)


AnyPlan = TypeVar("AnyPlan", bound=Plan)


@dataclass
class Trainer(ABC, Generic[AnyPlan]):
    """What every training run has; a subclass builds `net` in `__post_init__`, and says what a step is."""

    plan: AnyPlan
    net: Any = field(init=False)
    ema: dict[str, Tensor] = field(init=False)  # the averaged parameters of `net`
    step: int = field(default=0, init=False)
    history: list[dict[str, float]] = field(default_factory=list, init=False)  # one row per `report_every` steps
    unreported: list[dict[str, float]] = field(default_factory=list, init=False)  # losses since the last row
    cpu_seconds: float = field(default=0.0, init=False)

    @abstractmethod
    def train_step(self) -> dict[str, float]:
        """One step from the batch that `rng()` draws, `count()` included; returns its losses."""

    @abstractmethod
    def held_out_loss(self) -> float:
        """Loss of the averaged weights on crops that are never trained on."""

    @abstractmethod
    def stateful(self) -> Mapping[str, nn.Module | torch.optim.Optimizer]:
        """Networks and optimizers by their names in the checkpoint."""

    def rng(self) -> np.random.Generator:
        """The random numbers of the next step."""
        return np.random.default_rng((self.plan.seed, self.step))

    def set_learning_rate(self, optimizer: torch.optim.Optimizer, factor: float = 1.0) -> None:
        for group in optimizer.param_groups:
            group["lr"] = factor * self.plan.learning_rate(self.step)

    def count(self) -> None:
        """A step has been made: its weights go into the average."""
        self.step += 1
        decay = min(self.plan.ema, (1 + self.step) / (10 + self.step))
        for name, value in self.net.named_parameters():
            self.ema[name].lerp_(value.detach(), 1 - decay)

    def run(self, folder: Path, stop: Callable[[], bool], on_report: Callable[[Any], None]) -> None:
        """Train from `folder`'s checkpoint, if it has one, to the end of the plan or until `stop()` is true."""
        self.load(folder)
        saved_at, cpu_at = time.monotonic(), time.process_time() - self.cpu_seconds
        while self.step < self.plan.steps and not stop():
            self.unreported.append(self.train_step())
            self.cpu_seconds = time.process_time() - cpu_at
            if self.step % self.plan.report_every == 0 or self.step == self.plan.steps:
                self._report()
                on_report(self)
            if time.monotonic() - saved_at > self.plan.save_seconds:
                self.save(folder)
                saved_at = time.monotonic()
        self.save(folder)

    def _report(self) -> None:
        evaluates = self.step % self.plan.evaluate_every == 0 or self.step == self.plan.steps
        count = len(self.unreported)
        self.history.append(
            {
                "step": self.step,
                "size": self.plan.phase(self.step - 1).size,
                "lr": self.plan.learning_rate(self.step - 1),
                **{name: sum(losses[name] for losses in self.unreported) / count for name in self.unreported[0]},
                "held_out_loss": self.held_out_loss() if evaluates else math.nan,
                "cpu_hours": self.cpu_seconds / 3600,
            }
        )
        self.unreported = []

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            "step": self.step,
            **{name: part.state_dict() for name, part in self.stateful().items()},
            "ema": self.ema,
            "history": self.history,
            "unreported": self.unreported,
            "cpu_seconds": self.cpu_seconds,
            "identity": self._identity(),
        }
        partial = folder / "checkpoint.pt.partial"
        torch.save(state, partial)
        os.replace(partial, folder / "checkpoint.pt")

    def load(self, folder: Path) -> None:
        path = folder / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        if state["identity"] != self._identity():
            raise ValueError(f"{path} belongs to another network or seed: {state['identity']}, not {self._identity()}")
        for name, part in self.stateful().items():
            part.load_state_dict(state[name])
        self.ema, self.step = state["ema"], state["step"]
        self.history, self.unreported, self.cpu_seconds = state["history"], state["unreported"], state["cpu_seconds"]

    def _identity(self) -> str:
        """What a checkpoint must share with its continuation; phases and rates may be changed on the way."""
        return json.dumps({"net": asdict(self.plan.net), "seed": self.plan.seed}, sort_keys=True)


def as_nchw(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)  # the memory stays NHWC: channels_last


def in_channels_last(net: Module) -> Module:
    for parameter in net.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return net


def parameters_of(net: nn.Module) -> dict[str, Tensor]:
    """A copy of the parameters, to average from."""
    return {name: value.detach().clone() for name, value in net.named_parameters()}
