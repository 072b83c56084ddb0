"""Training of a SPADE generator: GauGAN's hinge loss and feature matching, without the VGG it leans on.

What a pretrained network tells GauGAN is told by two plain losses instead: colours of small windows, and the local
contrast of each band of a Haar pyramid, at first of the whole picture, then near the outlines of the map.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.torch_models.label_to_image import SPADEGenerator
from sige_mlx.models.spade import SPADEConfig

from . import picture_losses
from .patch_discriminator import MultiscaleDiscriminator
from .training import Plan, Trainer, as_nchw, in_channels_last, parameters_of

Crops = tuple[np.ndarray, np.ndarray]  # float32 [N, H, W, 3] in [-1, 1], and labels, uint8 [N, H, W]
Draw = Callable[[np.random.Generator, int, int], Crops]  # (generator, batch, size) → crops


@dataclass(frozen=True, kw_only=True)
class SPADEPlan(Plan):
    """The weights of the losses, and the discriminators."""

    net: SPADEConfig
    lr: float = 4e-4
    discriminator_lr: float = 2.0  # times the generator's
    ema: float = 0.998
    widths: tuple[int, ...] = (32, 64, 128)
    scales: int = 2
    adversarial: float = 1.0
    matching: float = 5.0
    colour: float = 10.0
    texture: float = 40.0
    calibration: int = 16  # crops from which statistics are taken
    fixed_from: int  # the step from which on normalisations use fixed statistics, as the finished network does
    outlines_from: int  # the step from which on contrast is asked for near outlines only


@dataclass
class SPADETrainer(Trainer[SPADEPlan]):
    draw: Draw
    held_out: Crops

    def __post_init__(self) -> None:
        torch.manual_seed(self.plan.seed)
        self.net = in_channels_last(generator(self.plan.net))
        self.ema = parameters_of(self.net)
        self.discriminator = in_channels_last(
            MultiscaleDiscriminator(self.plan.net.semantic_nc + 3, self.plan.widths, self.plan.scales)
        )
        self.optimizer = torch.optim.Adam(self.net.parameters(), betas=(0.5, 0.99))
        self.discriminator_optimizer = torch.optim.Adam(self.discriminator.parameters(), betas=(0.5, 0.99))

    def stateful(self) -> Mapping[str, nn.Module | torch.optim.Optimizer]:
        return {
            "net": self.net,
            "discriminator": self.discriminator,
            "optimizer": self.optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }

    def train_step(self) -> dict[str, float]:
        """The discriminators' step, then the generator's, on one batch."""
        plan, phase = self.plan, self.plan.phase(self.step)
        if self.step == plan.fixed_from:
            self.calibrate(self.net)
        self.net.train(self.step < plan.fixed_from)
        pictures, label_maps = self.draw(self.rng(), phase.batch, phase.size)
        real, labels = as_nchw(pictures), self.one_hot(label_maps)
        fake = render(self.net, labels)

        self.set_learning_rate(self.discriminator_optimizer, plan.discriminator_lr)
        discriminators = picture_losses.hinge(
            self.discriminator(labels, real), self.discriminator(labels, fake.detach())
        )
        self.discriminator_optimizer.zero_grad()
        discriminators.backward()
        self.discriminator_optimizer.step()

        self.set_learning_rate(self.optimizer)
        self.discriminator.requires_grad_(False)
        with torch.no_grad():
            real_features = self.discriminator(labels, real)
        fake_features = self.discriminator(labels, fake)
        where = (
            picture_losses.near_outlines(labels) if self.step >= plan.outlines_from else torch.ones_like(labels[:, :1])
        )
        losses = {
            "adversarial": picture_losses.adversarial(fake_features),
            "matching": picture_losses.matching(real_features, fake_features),
            "colour": picture_losses.colour(real, fake),
            "texture": picture_losses.texture(real, fake, where),
        }
        self.optimizer.zero_grad()
        torch.stack([getattr(plan, name) * loss for name, loss in losses.items()]).sum().backward()
        self.optimizer.step()
        self.discriminator.requires_grad_(True)
        self.count()
        return {"discriminators": discriminators.item(), **{name: loss.item() for name, loss in losses.items()}}

    def one_hot(self, labels: np.ndarray) -> Tensor:
        """uint8 `[N, H, W]` → float32 `[N, labels, H, W]`."""
        planes = F.one_hot(torch.from_numpy(labels).long(), self.plan.net.semantic_nc).float()
        return planes.permute(0, 3, 1, 2)

    @torch.no_grad()
    def ema_net(self) -> SPADEGenerator:
        """The averaged weights. While statistics follow the weights, those of the averages are taken anew."""
        net = in_channels_last(generator(self.plan.net))
        net.load_state_dict(dict(self.net.named_buffers()) | self.ema)
        if self.step <= self.plan.fixed_from:
            self.calibrate(net)
        return net.eval()

    @torch.no_grad()
    def calibrate(self, net: SPADEGenerator) -> None:
        """Takes the statistics of a network anew: plain means over batches of whole pictures."""
        norms = [module for module in net.train().modules() if isinstance(module, nn.BatchNorm2d)]
        usual = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        rng = np.random.default_rng(self.plan.seed)
        batch = min(4, self.plan.calibration)
        for _ in range(self.plan.calibration // batch):
            render(net, self.one_hot(self.draw(rng, batch, self.plan.net.crop_size)[1]))
        for norm, momentum in zip(norms, usual, strict=True):
            norm.momentum = momentum

    @torch.inference_mode()
    def held_out_loss(self) -> float:
        """What of the loss needs no discriminator."""
        real, labels = as_nchw(self.held_out[0]), self.one_hot(self.held_out[1])
        net = self.ema_net()
        fake = torch.cat([render(net, batch) for batch in labels.split(4)])
        colour = picture_losses.colour(real, fake)
        texture = picture_losses.texture(real, fake, picture_losses.near_outlines(labels))
        return float(self.plan.colour * colour + self.plan.texture * texture)


def generator(config: SPADEConfig) -> SPADEGenerator:
    return SPADEGenerator(config, config.ngf, config.nhidden)


def render(net: SPADEGenerator, labels: Tensor) -> Tensor:
    """Pictures of label maps of any size that the network can halve: its latent plane becomes as large as they need."""
    net.latent = (labels.shape[2] >> net.doublings, labels.shape[3] >> net.doublings)
    pictures: Tensor = net(labels)
    return pictures
