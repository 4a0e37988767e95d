"""Plain small convolutional networks, for demonstrations and tests on a processor."""

from torch import nn

from poisoning.models.network import Network, conv_bn


def convnet3(num_classes: int, image_size: int = 32) -> Network:
    """Three 3x3 convolutions with batch norm and max-pooling, widths 16, 32, 32; the features are
    the last maps' 4x4 places themselves, not their mean. Not a published model.
    """
    stages, width_in = [], 3
    for width in (16, 32, 32):
        stages.append(
            nn.Sequential(*conv_bn(width_in, width), nn.ReLU(inplace=True), nn.MaxPool2d(2))
        )
        width_in = width
    return Network(stages, width_in * (image_size // 8) ** 2, num_classes)
