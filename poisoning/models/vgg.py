"""VGG with batch norm and no hidden linear layer (Simonyan and Zisserman, ICLR 2015)."""

from torch import nn

from poisoning.models.conv import Conv2d
from poisoning.models.network import Network


def _vgg(num_classes: int, groups: list[list[int]]) -> Network:
    """One stage per group of 3x3 convolutions, each ending in a 2x2 max-pooling."""
    stages, width_in = [], 3
    for widths in groups:
        layers: list[nn.Module] = []
        for width in widths:
            layers += [
                Conv2d(width_in, width, 3, padding=1),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            width_in = width
        stages.append(nn.Sequential(*layers, nn.MaxPool2d(2)))
    return Network(stages, width_in, num_classes)


def vgg11(num_classes: int, image_size: int = 32) -> Network:
    """VGG11 for 32x32 images."""
    return _vgg(num_classes, [[64], [128], [256, 256], [512, 512], [512, 512]])


def vgg16_tiny(num_classes: int, image_size: int = 64) -> Network:
    """VGG16 for 64x64 images: a sixth max-pooling leaves one place of 512 channels."""
    groups = [[64, 64], [128, 128], [256, 256, 256], [512, 512, 512], [512, 512, 512]]
    return _vgg(num_classes, [*groups, []])
