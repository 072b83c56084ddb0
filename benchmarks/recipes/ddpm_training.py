"""Training of a DDPM U-Net: equation 14 of Ho et al. 2020, on crops."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.torch_models.ddpm_unet import DDPMConfig, DDPMUNet

from .training import Plan, Trainer, as_nchw, in_channels_last, parameters_of

STEPS = 1000
ALPHAS_CUMPROD = torch.cumprod(1 - torch.linspace(1e-4, 0.02, STEPS, dtype=torch.float64), dim=0).float()

Crops = Callable[[np.random.Generator, int, int], np.ndarray]  # (generator, batch, size) → float32 [N, H, W, 3]


@dataclass(frozen=True, kw_only=True)
class DDPMPlan(Plan):
    """Which timesteps are drawn."""

    net: DDPMConfig
    lr: float = 4e-4
    ema: float = 0.9995
    favoured: int = 700  # timesteps below it are drawn more often: an SDEdit starts from a noise level in their midst
    favour: float = 0.7

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


def initialised(config: DDPMConfig, seed: int) -> DDPMUNet:
    """A network whose residual branches and output start at zero (Ho et al.), which makes the first steps count."""
    torch.manual_seed(seed)
    net = DDPMUNet(config)
    for name, parameter in net.named_parameters():
        if ".conv2." in name or ".proj_out." in name or name.startswith("conv_out."):
            torch.nn.init.zeros_(parameter)
    return in_channels_last(net)


@dataclass
class DDPMTrainer(Trainer[DDPMPlan]):
    crops: Crops
    held_out: np.ndarray  # float32 [N, H, W, 3] in [-1, 1]

    def __post_init__(self) -> None:
        self.net = initialised(self.plan.net, self.plan.seed)
        self.ema = parameters_of(self.net)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=self.plan.lr)

    def stateful(self) -> Mapping[str, nn.Module | torch.optim.Optimizer]:
        return {"net": self.net, "optimizer": self.optimizer}

    def train_step(self) -> dict[str, float]:
        """One step of equation 14 of Ho et al."""
        phase, rng = self.plan.phase(self.step), self.rng()
        x = as_nchw(self.crops(rng, phase.batch, phase.size))
        noise = as_nchw(rng.standard_normal((phase.batch, phase.size, phase.size, 3), dtype=np.float32))
        strata = (np.arange(phase.batch) + rng.random(phase.batch)) / phase.batch
        t = torch.from_numpy(self.plan.timesteps(strata))

        self.set_learning_rate(self.optimizer)
        loss = F.mse_loss(self.net(noised(x, noise, t), t), noise)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizer.step()
        self.count()
        return {"loss": loss.item()}

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
