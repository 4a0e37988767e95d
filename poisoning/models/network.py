"""The one shape every architecture here has: stages that yield features, then a linear layer."""

from collections.abc import Sequence

from torch import Tensor, nn

from poisoning.models.conv import Conv2d


class Network(nn.Module):
    """Stages in a row, then ``linear``. Attacks and victims know a network only as this.

    ``features`` are the penultimate ones, after the last stage and its non-linearity; dropout,
    where an architecture has it, stands inside a stage and acts in train mode only.
    """

    def __init__(self, stages: Sequence[nn.Module], feature_dim: int, num_classes: int) -> None:
        super().__init__()
        self.stages = nn.Sequential(*stages)
        self.linear = nn.Linear(feature_dim, num_classes)

    @property
    def feature_dim(self) -> int:
        return self.linear.in_features

    @property
    def num_classes(self) -> int:
        return self.linear.out_features

    def features(self, x: Tensor) -> Tensor:
        """Normalised images [N, C, H, W] to penultimate features [N, D]."""
        features: Tensor = self.stages(x).flatten(1)
        return features

    def block_features(self, x: Tensor) -> list[Tensor]:
        """The output of every stage, the last one being the penultimate features [N, D]."""
        outputs = []
        for stage in self.stages:
            x = stage(x)
            outputs.append(x)
        outputs[-1] = outputs[-1].flatten(1)
        return outputs

    def forward(self, x: Tensor) -> Tensor:
        """Normalised images [N, C, H, W] to logits [N, num_classes]."""
        logits: Tensor = self.linear(self.features(x))
        return logits


class GlobalMean(nn.Module):
    """Mean over all places: [N, C, H, W] to [N, C]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def conv_bn(
    width_in: int, width: int, size: int = 3, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution without bias, padded to keep its size at stride 1, and batch norm."""
    conv = Conv2d(width_in, width, size, stride, padding=size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width))
