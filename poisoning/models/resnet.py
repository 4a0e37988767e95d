"""Residual networks (He et al., CVPR 2016) in their forms for small images."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.nn import functional

from poisoning.models.conv import Conv2d
from poisoning.models.network import GlobalMean, Network, conv_bn

Shortcut = Callable[[int, int, int], nn.Module]


class BasicBlock(nn.Module):
    """relu(conv-bn-relu-conv-bn (x) + shortcut(x)); the first convolution has the stride."""

    def __init__(self, width_in: int, width: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = Conv2d(width_in, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        same_shape = stride == 1 and width_in == width
        self.shortcut = nn.Identity() if same_shape else shortcut(width_in, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return functional.relu(out, inplace=True)


class ZeroPadShortcut(nn.Module):
    """He et al.'s option A: every stride-th place, missing channels zero, half on each side."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.stride, self.side = stride, (width - width_in) // 2

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        return functional.pad(x, (0, 0, 0, 0, self.side, self.side))


def projection(width_in: int, width: int, stride: int) -> nn.Module:
    """He et al.'s option B: a 1x1 convolution with batch norm."""
    return conv_bn(width_in, width, 1, stride)


def _residual(
    num_classes: int,
    depths: Sequence[int],
    width: int,
    stem: nn.Module | None = None,
    shortcut: Shortcut = projection,
    pool: nn.Module | None = None,
    places: int = 1,
) -> Network:
    """Stem, one stage per depth (width doubles and size halves from the second on), and a
    pooling (the mean of all places by default) that leaves ``places``.
    """
    stages: list[nn.Module] = [stem or nn.Sequential(*conv_bn(3, width), nn.ReLU(inplace=True))]
    width_in = width
    for group, depth in enumerate(depths):
        width_out = width * 2**group
        blocks = []
        for place in range(depth):
            stride = 2 if group > 0 and place == 0 else 1
            blocks.append(BasicBlock(width_in, width_out, stride, shortcut))
            width_in = width_out
        stages.append(nn.Sequential(*blocks))
    return Network([*stages, pool or GlobalMean()], width_in * places, num_classes)


def resnet18(num_classes: int, image_size: int = 32) -> Network:
    """ResNet-18 for 32x32 images: 3x3 stem of width 64, no max-pooling."""
    return _residual(num_classes, (2, 2, 2, 2), 64)


def resnet18_w16(num_classes: int, image_size: int = 32) -> Network:
    """ResNet-18 at a quarter of its width; not a published model."""
    return _residual(num_classes, (2, 2, 2, 2), 16)


def resnet6_w16(num_classes: int, image_size: int = 32) -> Network:
    """Two residual blocks of widths 16 and 32 behind a stem of stride 2; the features are 2x2
    means, which keep where things are. Not a published model.
    """
    stem = nn.Sequential(*conv_bn(3, 16, stride=2), nn.ReLU(inplace=True))
    return _residual(
        num_classes, (1, 1), 16, stem, pool=nn.AvgPool2d(2), places=(image_size // 8) ** 2
    )


def resnet34_tiny(num_classes: int, image_size: int = 64) -> Network:
    """ResNet-34 for 64x64 images: 7x7 stem of stride 2, no max-pooling."""
    stem = nn.Sequential(*conv_bn(3, 64, size=7, stride=2), nn.ReLU(inplace=True))
    return _residual(num_classes, (3, 4, 6, 3), 64, stem)


def resnet32_clbd(num_classes: int, image_size: int = 32) -> Network:
    """The narrow ResNet-32 (16, 32, 64; option A) of label-consistent backdoors.

    Turner et al. 2019, https://arxiv.org/abs/1912.02771. Kaiming-normal weights.
    """
    net = _residual(num_classes, (5, 5, 5), 16, shortcut=ZeroPadShortcut)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
    return net
