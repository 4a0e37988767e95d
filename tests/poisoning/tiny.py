"""Small untrained networks and batches of digits, for tests of attacks and victims."""

import torch
from torch import Tensor, nn

from poisoning import params
from poisoning.attacks.batch import CraftBatch, Surrogates
from poisoning.data import LoadedDataset
from poisoning.models import Network, build
from poisoning.models.network import conv_bn
from poisoning.ops import triggers

MEAN = STD = (0.5, 0.5, 0.5)
CPU = torch.device("cpu")

# Every attack of the catalogue, with knobs for a test: few steps, a budget one can see.
ATTACKS = {
    "no_perturbation": params.NoPerturbation(),
    "feature_collision": params.FeatureCollision(eps_255=16, steps=12, step_size=0.02),
    "convex_polytope": params.ConvexPolytope(eps_255=16, steps=12),
    "bullseye_polytope": params.BullseyePolytope(eps_255=16, steps=12),
    # a start within the budget, so that it does not freeze at once
    "feature_collision_reference": params.FeatureCollisionReference(
        eps_255=16, steps=12, step_size=0.02, watermark=0.05
    ),
    "feature_collision_l2": params.FeatureCollisionL2(
        steps=12, step_size=5.0, beta=0.001, watermark=0.05
    ),
    "bullseye_polytope_squared": params.BullseyePolytopeSquared(eps_255=16, steps=12),
    "bullseye_polytope_end_to_end": params.BullseyePolytopeEndToEnd(eps_255=16, steps=12),
    "convex_polytope_end_to_end": params.ConvexPolytopeEndToEnd(eps_255=16, steps=12),
    "badnets": params.BadNets(),
    "clean_label_backdoor": params.CleanLabelBackdoor(eps_255=32, steps=12, step_size_255=4),
    "clean_label_backdoor_reference": params.CleanLabelBackdoorReference(
        eps_255=32, steps=12, step_size_255=4
    ),
    "hidden_trigger_backdoor": params.HiddenTriggerBackdoor(
        eps_255=16, steps=12, learning_rate=2, tolerance=0
    ),
    "hidden_trigger_backdoor_reference": params.HiddenTriggerBackdoorReference(
        eps_255=16, steps=12, learning_rate=2, tolerance=0
    ),
    "witches_brew": params.WitchesBrew(eps_255=16, steps=6, restarts=2, learning_rate=0.1),
}


def plain_net(seed: int = 0) -> Network:
    """Two convolutions and a mean; 12 features."""
    torch.manual_seed(seed)
    stages = [
        nn.Sequential(*conv_bn(3, 8, stride=2), nn.ReLU()),
        nn.Sequential(*conv_bn(8, 12, stride=2), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten()),
    ]
    return Network(stages, 12 * 4, 5).eval()


def dropout_net(seed: int = 0) -> Network:
    """One convolution, means, a hidden layer behind dropout; 10 features."""
    torch.manual_seed(seed)
    places = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Dropout(0.3))
    hidden = nn.Sequential(places, nn.Linear(8 * 16, 10))
    return Network([nn.Sequential(*conv_bn(3, 8, stride=2), nn.ReLU()), hidden], 10, 5).eval()


def residual_net(seed: int = 0) -> Network:
    return build("resnet6_w16", 5, seed=seed).eval()


NETS = {"plain": plain_net, "residual": residual_net, "dropout": dropout_net}


def surrogates(*names: str, precision: str = "exact") -> Surrogates:
    nets = [NETS[name](seed) for seed, name in enumerate(names)]
    return Surrogates(nets, MEAN, STD, CPU, precision)  # type: ignore[arg-type]


def batch(digits: LoadedDataset, trials: int = 2, poisons: int = 3) -> CraftBatch:
    """Trial t attacks test image t, of class y, with images of class y + 1."""
    bases, base_labels, sources = [], [], []
    target_labels = digits.test.labels[:trials]
    for label in target_labels.tolist():
        base_labels.append((label + 1) % 5)
        of_class = torch.where(digits.train.labels == base_labels[-1])[0]
        bases.append(digits.train.images[of_class[:poisons]])
        of_class = torch.where(digits.train.labels == label)[0]
        sources.append(digits.train.images[of_class[:poisons]])
    return CraftBatch(
        bases=torch.stack(bases) / 255,
        targets=digits.test.images[:trials, None] / 255,
        base_labels=torch.tensor(base_labels),
        target_labels=target_labels,
        generators=tuple(torch.Generator().manual_seed(t) for t in range(trials)),
        mean=MEAN,
        std=STD,
        sources=torch.stack(sources) / 255,
        trigger=triggers.make(params.Triggered(patch_size=3, inset=2), 32, seed=0),
    )


def normalized(x: Tensor) -> Tensor:
    return (x - 0.5) / 0.5


def rounded(x: Tensor) -> Tensor:
    """As poisons are stored, int [..., C, H, W]."""
    return (x * 255).round().to(torch.int64)
