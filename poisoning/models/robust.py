"""A network under attack by PGD: batches for adversarial training, and accuracy under attack.

Madry, Makelov, Schmidt, Tsipras and Vladu, "Towards Deep Learning Models Resistant to Adversarial
Attacks", ICLR 2018, https://arxiv.org/abs/1706.06083. The network is attacked in eval mode, as it
will be judged (batch norm by its running statistics, which the attack does not move); the paper
leaves this open.
"""

import torch
from torch import Tensor
from torch.nn import functional

from poisoning import devices
from poisoning.data import Split
from poisoning.models.network import Network
from poisoning.ops import pgd
from poisoning.spec import Adversarial, Precision

Constants = tuple[float, ...]  # one per channel
ROBUST_IMAGES, ROBUST_STEPS, BATCH = 1000, 20, 250


def attacked(
    net: Network,
    images: Tensor,
    labels: Tensor,
    mean: Constants,
    std: Constants,
    knobs: Adversarial,
    generator: torch.Generator,
    precision: Precision = "exact",
) -> Tensor:
    """Pixels in [0, 1], float32 [N, C, H, W], to normalised images within ``eps_255`` of them, that
    raise the cross entropy of their own ``labels`` [N]. The start is drawn from ``generator``; the
    network's weights, gradients and mode stay as they are.
    """
    was_training = net.training
    net.eval()
    shift = torch.tensor(mean, device=images.device).view(1, -1, 1, 1)
    scale = torch.tensor(std, device=images.device).view(1, -1, 1, 1)
    eps = knobs.eps_255 / 255
    x = pgd.start(images, eps, generator)
    for _ in range(knobs.steps):
        x.requires_grad_()
        with devices.autocast(images.device, precision):
            logits = net((x - shift) / scale)
        loss = functional.cross_entropy(logits.float(), labels, reduction="sum")
        (g,) = torch.autograd.grad(loss, x)
        x = pgd.step(x.detach(), g, images, eps, knobs.step_size_255 / 255)
    net.train(was_training)
    return (x - shift) / scale


def robust_accuracy(
    net: Network,
    split: Split,
    mean: Constants,
    std: Constants,
    knobs: Adversarial,
    precision: Precision = "exact",
) -> float:
    """The fraction of the first 1,000 images of ``split`` (of all, where there are fewer) that
    ``net`` names rightly after 20 steps of PGD within ``eps_255`` of ``knobs``, a quarter of it or
    their own smaller step at once: one long step, as training may take, is a weak judge.
    """
    was_training, device = net.training, net.linear.weight.device
    net.eval()
    step = min(knobs.step_size_255, knobs.eps_255 / 4)
    knobs = knobs.model_copy(update={"steps": ROBUST_STEPS, "step_size_255": step})
    generator = torch.Generator().manual_seed(0)
    right = torch.zeros((), dtype=torch.int64, device=device)
    images, labels = split.images[:ROBUST_IMAGES], split.labels[:ROBUST_IMAGES]
    for part, y in zip(images.split(BATCH), labels.to(device).split(BATCH), strict=True):
        x = attacked(net, part.to(device) / 255, y, mean, std, knobs, generator, precision)
        with torch.no_grad(), devices.autocast(device, precision):
            right += (net(x).argmax(1) == y).sum()
    net.train(was_training)
    return right.item() / len(labels)
