"""PyTorch, dense: our own networks, in both memory layouts."""

import numpy as np
import torch

from benchmarks.against.task import Call, Calls, Floats, Task
from benchmarks.torch_models import pd_unet
from benchmarks.torch_models.ddpm_unet import DDPMConfig, DDPMUNet
from benchmarks.torch_models.label_to_image import SPADEGenerator, SubMobileSPADEGenerator
from benchmarks.torch_models.resnet_generator import ResnetGenerator


def network(task: Task) -> torch.nn.Module:
    """The PyTorch twin with the task's weights."""
    net = _twin(task)
    net.load_state_dict({name: torch.from_numpy(value) for name, value in task.state_dict().items()})
    return net.eval()


def inputs(task: Task) -> tuple[torch.Tensor, ...]:
    """What the network is called with: the edited image, then the other inputs."""
    return nchw(task.edited), *conditions(task)


def conditions(task: Task) -> tuple[torch.Tensor, ...]:
    """The inputs that are no images."""
    return tuple(map(torch.from_numpy, task.conditions.values()))


def nchw(image: Floats) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(0, 3, 1, 2)))


def nhwc(image: torch.Tensor) -> Floats:
    array: Floats = image.permute(0, 2, 3, 1).numpy()
    return array


def load(task: Task) -> Calls:
    torch.set_num_threads(task.threads)
    plain, last = network(task), network(task)
    for weight in last.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.to(memory_format=torch.channels_last)
    x, *others = inputs(task)
    x_last = x.to(memory_format=torch.channels_last)

    def run(net: torch.nn.Module, x: torch.Tensor) -> Floats:
        with torch.inference_mode():
            return nhwc(net(x, *others))

    return {"dense": Call(lambda: run(plain, x)), "dense, channels last": Call(lambda: run(last, x_last))}


def _twin(task: Task) -> torch.nn.Module:
    config = task.config
    if task.pretrained.family == "ddpm":
        return DDPMUNet(DDPMConfig(**{name: getattr(config, name) for name in DDPMConfig.__dataclass_fields__}))
    if task.pretrained.family == "pd":
        fields = pd_unet.PDConfig.__dataclass_fields__
        return pd_unet.PDUNet(pd_unet.PDConfig(**{name: getattr(config, name) for name in fields}))
    if task.pretrained.family == "spade":
        return SPADEGenerator(config, config.ngf, config.nhidden)
    if task.pretrained.family == "sub_mobile_spade":
        return SubMobileSPADEGenerator(config, config.config_str)
    widths = (config.input_nc, config.output_nc, config.ngf, config.n_blocks)
    return ResnetGenerator(*widths, affine=config.affine, norm=config.norm)
