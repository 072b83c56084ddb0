"""PyTorch, dense: the network of our tests, in both memory layouts."""

import numpy as np
import torch

from benchmarks.against.task import Call, Calls, Floats, Task
from tests.torch_models.ddpm_unet import DDPMConfig, DDPMUNet


def network(task: Task) -> DDPMUNet:
    """The PyTorch twin with the task's weights."""
    fields = {name: getattr(task.config, name) for name in DDPMConfig.__dataclass_fields__}
    net = DDPMUNet(DDPMConfig(**fields))
    net.load_state_dict({name: torch.from_numpy(value) for name, value in task.state_dict().items()})
    return net.eval()


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
    t = torch.tensor([task.timestep])
    x = nchw(task.edited)
    x_last = x.to(memory_format=torch.channels_last)

    def run(net: DDPMUNet, x: torch.Tensor) -> Floats:
        with torch.inference_mode():
            return nhwc(net(x, t))

    return {"dense": Call(lambda: run(plain, x)), "dense, channels last": Call(lambda: run(last, x_last))}
