"""Training of a DDPM U-Net that can be stopped at any moment and goes on as if it had not been.

Every random number of a step is a function of (seed, step), so a checkpoint needs no generator state.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.torch_models.ddpm_unet import DDPMConfig, DDPMUNet

STEPS = 1000
ALPHAS_CUMPROD = torch.cumprod(1 - torch.linspace(1e-4, 0.02, STEPS, dtype=torch.float64), dim=0).float()

Crops = Callable[[np.random.Generator, int, int], np.ndarray]  # (generator, batch, size) → float32 [N, H, W, 3]


@dataclass(frozen=True)
class Phase:
    """So many steps on batches of `batch` crops of `size` pixels."""

    size: int
    batch: int
    steps: int


@dataclass(frozen=True)
class Plan:
    """A whole training run; the learning rate warms up, stays, and falls linearly to zero over the last steps."""

    net: DDPMConfig
    phases: tuple[Phase, ...]
    lr: float = 4e-4
    warm_up: int = 200
    cool_down: int = 2000
    ema: float = 0.9995
    favoured: int = 700  # timesteps below it are drawn more often: an SDEdit starts from a noise level in their midst
    favour: float = 0.7
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
        return self.lr * min(1.0, (step + 1) / self.warm_up, (self.steps - step) / self.cool_down)

    def timesteps(self, uniform: np.ndarray) -> np.ndarray:
        """Numbers in [0, 1) → timesteps, by the inverse of their distribution function."""
        rest = (1 - self.favour) / STEPS
        low = rest + self.favour / self.favoured
        knee = low * self.favoured
        t = np.where(uniform < knee, uniform / low, self.favoured + (uniform - knee) / rest)
        return np.minimum(t.astype(np.int64), STEPS - 1)


def noised(x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """x_t of the clean `x` `[N, C, H, W]` (Ho et al. 2020, equation 4)."""
    a = ALPHAS_CUMPROD[t][:, None, None, None]
    return a.sqrt() * x + (1 - a).sqrt() * noise


def as_nchw(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)  # the memory stays NHWC: channels_last


def in_channels_last(net: DDPMUNet) -> DDPMUNet:
    for parameter in net.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return net


def initialised(config: DDPMConfig, seed: int) -> DDPMUNet:
    """A network whose residual branches and output start at zero (Ho et al.), which makes the first steps count."""
    torch.manual_seed(seed)
    net = DDPMUNet(config)
    for name, parameter in net.named_parameters():
        if ".conv2." in name or ".proj_out." in name or name.startswith("conv_out."):
            torch.nn.init.zeros_(parameter)
    return in_channels_last(net)


@dataclass
class Trainer:
    plan: Plan
    crops: Crops
    held_out: np.ndarray  # float32 [N, H, W, 3] in [-1, 1]
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)  # one row per `report_every` steps
    unreported: list[float] = field(default_factory=list)  # losses since the last row
    cpu_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.net = initialised(self.plan.net, self.plan.seed)
        self.ema = {name: value.clone() for name, value in self.net.state_dict().items()}
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=self.plan.lr)

    def train_step(self) -> float:
        """One step of equation 14 of Ho et al.; returns its loss."""
        phase = self.plan.phase(self.step)
        rng = np.random.default_rng((self.plan.seed, self.step))
        x = as_nchw(self.crops(rng, phase.batch, phase.size))
        noise = as_nchw(rng.standard_normal((phase.batch, phase.size, phase.size, 3), dtype=np.float32))
        strata = (np.arange(phase.batch) + rng.random(phase.batch)) / phase.batch
        t = torch.from_numpy(self.plan.timesteps(strata))

        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.learning_rate(self.step)
        loss = F.mse_loss(self.net(noised(x, noise, t), t), noise)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1

        decay = min(self.plan.ema, (1 + self.step) / (10 + self.step))
        for name, value in self.net.state_dict().items():
            self.ema[name].lerp_(value, 1 - decay)
        return loss.item()

    def ema_net(self) -> DDPMUNet:
        net = DDPMUNet(self.plan.net)
        net.load_state_dict(self.ema)
        return in_channels_last(net).eval()

    @torch.inference_mode()
    def held_out_loss(self) -> float:
        """Loss of the averaged weights on the held-out crops, at evenly spread timesteps with always the same noise."""
        net, rng, count = self.ema_net(), np.random.default_rng(self.plan.seed), len(self.held_out)
        t = torch.from_numpy(rng.permutation(count) * STEPS // count)
        noise = as_nchw(rng.standard_normal(self.held_out.shape, dtype=np.float32))
        x = noised(as_nchw(self.held_out), noise, t)
        batches = (net(*batch) for batch in zip(x.split(8), t.split(8), strict=True))
        return float(F.mse_loss(torch.cat(list(batches)), noise))

    def run(self, folder: Path, stop: Callable[[], bool], on_report: Callable[[Trainer], None]) -> None:
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
        self.history.append(
            {
                "step": self.step,
                "size": self.plan.phase(self.step - 1).size,
                "lr": self.plan.learning_rate(self.step - 1),
                "loss": sum(self.unreported) / len(self.unreported),
                "held_out_loss": self.held_out_loss() if evaluates else math.nan,
                "cpu_hours": self.cpu_seconds / 3600,
            }
        )
        self.unreported = []

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            "step": self.step,
            "net": self.net.state_dict(),
            "ema": self.ema,
            "optimizer": self.optimizer.state_dict(),
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
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.ema, self.step = state["ema"], state["step"]
        self.history, self.unreported, self.cpu_seconds = state["history"], state["unreported"], state["cpu_seconds"]

    def _identity(self) -> str:
        """What a checkpoint must share with its continuation; phases and rates may be changed on the way."""
        identity: dict[str, Any] = {"net": asdict(self.plan.net), "seed": self.plan.seed}
        return json.dumps(identity, sort_keys=True)
