"""SGD and Adam by torch's own functions, without its Optimizer classes.

The first use of a class imports torch's compiler, which nobody here asks for: 1.8 s of every
process that trains a network. The steps are the same, bit by bit.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from poisoning.spec import PretrainSpec
from poisoning.victim_params import Recipe

MOMENTUM = "momentum_buffer"
STEP, FIRST, SECOND = "step", "exp_avg", "exp_avg_sq"
PREFIX = "optimizer"  # of saved tensors


class _Optimizer:
    """``state`` is what torch's class of the same name keeps for a parameter."""

    def __init__(self, parameters: Iterable[nn.Parameter], weight_decay: float) -> None:
        self.parameters = list(parameters)
        self.weight_decay = weight_decay
        self.state: dict[nn.Parameter, dict[str, Tensor]] = {p: {} for p in self.parameters}
        self.fused = self.parameters[0].device.type in ("cpu", "cuda")

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def tensors(self) -> dict[str, Tensor]:
        """All of the state, by names that ``restore`` knows."""
        return {
            f"{PREFIX}.{number}.{name}": value
            for number, parameter in enumerate(self.parameters)
            for name, value in self.state[parameter].items()
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take up what ``tensors`` gave; other names are passed over.

        What belongs to a parameter's elements is laid out as the parameter is: fused steps walk
        through both as they lie in memory.
        """
        for number, parameter in enumerate(self.parameters):
            prefix = f"{PREFIX}.{number}."
            for key in (key for key in tensors if key.startswith(prefix)):
                value = tensors[key].to(parameter.device)
                if value.shape == parameter.shape:  # not a count of steps
                    value = torch.empty_like(parameter).copy_(value)
                self.state[parameter][key.removeprefix(prefix)] = value

    def _graded(self) -> tuple[list[nn.Parameter], list[Tensor]]:
        """The parameters that the loss depended on, and their gradients."""
        pairs = [(p, p.grad) for p in self.parameters if p.grad is not None]
        return [p for p, _ in pairs], [gradient for _, gradient in pairs]


class Sgd(_Optimizer):
    """With momentum and weight decay; as torch.optim.SGD."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        momentum: float,
        nesterov: bool,
        weight_decay: float,
    ) -> None:
        super().__init__(parameters, weight_decay)
        self.momentum, self.nesterov = momentum, nesterov

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One step along ``.grad``."""
        own, gradients = self._graded()
        buffers = [self.state[p].get(MOMENTUM) for p in own]
        sgd(
            list[Tensor](own),
            gradients,
            buffers,
            fused=self.fused,
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            lr=rate,
            dampening=0.0,
            nesterov=self.nesterov,
            maximize=False,
        )
        for parameter, buffer in zip(own, buffers, strict=True):
            if buffer is not None:
                self.state[parameter][MOMENTUM] = buffer


class Adam(_Optimizer):
    """With betas of 0.9 and 0.999 and an L2 penalty; as torch.optim.Adam."""

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One step along ``.grad``."""
        own, gradients = self._graded()
        for parameter in own:
            if not self.state[parameter]:
                zeros = torch.zeros_like(parameter)
                count = torch.zeros((), dtype=torch.float32, device=parameter.device)
                self.state[parameter] = {STEP: count, FIRST: zeros, SECOND: zeros.clone()}
        kept = [self.state[parameter] for parameter in own]
        adam(
            list[Tensor](own),
            gradients,
            [each[FIRST] for each in kept],
            [each[SECOND] for each in kept],
            [],
            [each[STEP] for each in kept],
            fused=self.fused,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=rate,
            weight_decay=self.weight_decay,
            eps=1e-8,
            maximize=False,
        )


def of(parameters: Iterable[nn.Parameter], knobs: Recipe | PretrainSpec) -> Sgd | Adam:
    """The optimiser that a training names."""
    if knobs.optimizer == "adam":
        return Adam(parameters, knobs.weight_decay)
    return Sgd(parameters, knobs.momentum, knobs.nesterov, knobs.weight_decay)
