"""Training of a network that sees the classes of label maps in pictures: cross entropy, rare classes weighing more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.torch_models.land_cover import LandCoverSegmenter
from sige_mlx.metrics import Iou
from sige_mlx.metrics.land_cover import LandCoverConfig

from .training import Plan, Trainer, as_nchw, in_channels_last, parameters_of

Crops = tuple[np.ndarray, np.ndarray]  # float32 [N, H, W, 3] in [-1, 1], and labels, uint8 [N, H, W]
Draw = Callable[[np.random.Generator, int, int], Crops]  # (generator, batch, size) → crops


@dataclass(frozen=True, kw_only=True)
class SegmenterPlan(Plan):
    """How classes weigh: by their share of the pixels to the power of `balance`, 0 being alike and -1 evened out."""

    net: LandCoverConfig
    balance: float = -0.5
    counted: int = 400  # crops by which the shares are known


@dataclass
class SegmenterTrainer(Trainer[SegmenterPlan]):
    draw: Draw
    held_out: Crops

    def __post_init__(self) -> None:
        plan = self.plan
        torch.manual_seed(plan.seed)
        self.net = in_channels_last(LandCoverSegmenter(plan.net.classes, plan.net.widths))
        for parameter in self.net.parameters():
            if parameter.dim() == 4:
                nn.init.kaiming_normal_(parameter, nonlinearity="relu")
            else:
                nn.init.zeros_(parameter)
        self.ema = parameters_of(self.net)
        self.optimizer = torch.optim.Adam(self.net.parameters())
        _, labels = self.draw(np.random.default_rng(plan.seed), plan.counted, plan.phases[0].size)
        counts = np.bincount(labels.ravel(), minlength=plan.net.classes)
        weights = np.maximum(counts, 1) ** float(plan.balance)
        self.weights = torch.tensor(weights * counts.sum() / (weights * counts).sum(), dtype=torch.float32)

    def stateful(self) -> Mapping[str, nn.Module | torch.optim.Optimizer]:
        return {"net": self.net, "optimizer": self.optimizer}

    def train_step(self) -> dict[str, float]:
        phase = self.plan.phase(self.step)
        pictures, labels = self.draw(self.rng(), phase.batch, phase.size)
        self.set_learning_rate(self.optimizer)
        loss = self.loss(self.net(as_nchw(pictures)), labels)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizer.step()
        self.count()
        return {"loss": loss.item()}

    def loss(self, scores: Tensor, labels: np.ndarray) -> Tensor:
        """Of scores [N, classes, H, W] and labels [N, H, W]."""
        return F.cross_entropy(scores, torch.from_numpy(labels).long(), self.weights)

    def ema_net(self) -> LandCoverSegmenter:
        net = LandCoverSegmenter(self.plan.net.classes, self.plan.net.widths)
        net.load_state_dict(self.ema)
        return in_channels_last(net).eval()

    @torch.inference_mode()
    def scores(self, pictures: np.ndarray) -> Tensor:
        """By the averaged weights."""
        net = self.ema_net()
        return torch.cat([net(batch) for batch in as_nchw(pictures).split(4)])

    def seen(self, pictures: np.ndarray) -> np.ndarray:
        """The classes [N, H, W] that the averaged weights see in pictures [N, H, W, 3] in [-1, 1]."""
        return self.scores(pictures).argmax(1).numpy().astype(np.uint8)

    def held_out_loss(self) -> float:
        return float(self.loss(self.scores(self.held_out[0]), self.held_out[1]))

    def held_out_iou(self) -> Iou:
        """Of the averaged weights with the label maps, over all crops that are never trained on."""
        iou = Iou(self.plan.net.classes)
        iou.add(self.held_out[1], self.seen(self.held_out[0]))
        return iou
