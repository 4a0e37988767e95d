"""Stand-ins: the building blocks of each published architecture, narrow and few.

They check in seconds on a processor that everything works with that kind of network. All see 16x16
places from their first convolution on, whatever the image's size, and end in 4x4 or less. None is a
published model.
"""

from torch import nn

from poisoning.models.mobilenet import InvertedResidual
from poisoning.models.network import Network, conv_bn
from poisoning.models.resnet import BasicBlock, Shortcut, ZeroPadShortcut, projection

WIDTH, INNER, SIDE = 8, 16, 4
PLACES = SIDE**2


def _stem(image_size: int) -> nn.Sequential:
    """Batch-normed places that overlap, so that no pixel is left out."""
    stride = image_size // INNER
    return nn.Sequential(*conv_bn(3, WIDTH, stride + 1, stride), nn.ReLU())


def resnet6_w8(num_classes: int, image_size: int = 32) -> Network:
    """Two residual blocks of widths 8 and 16, as in ResNet-18 and ResNet-34."""
    return _residual(num_classes, image_size, projection, (8, 16))


def resnet8_w8(num_classes: int, image_size: int = 32) -> Network:
    """Three residual blocks with shortcuts of zeros, as in the narrow ResNet-32."""
    return _residual(num_classes, image_size, ZeroPadShortcut, (8, 16, 32))


def _residual(
    num_classes: int, image_size: int, shortcut: Shortcut, widths: tuple[int, ...]
) -> Network:
    stages: list[nn.Module] = [_stem(image_size)]
    width_in = WIDTH
    for width in widths:
        stages.append(BasicBlock(width_in, width, 1 if width == WIDTH else 2, shortcut))
        width_in = width
    return Network([*stages, nn.AdaptiveAvgPool2d(SIDE)], width_in * PLACES, num_classes)


def vgg3_w8(num_classes: int, image_size: int = 32) -> Network:
    """Convolutions with biases, batch norm and max-pooling in a row, as in VGG."""
    stages, width_in = [_stem(image_size)], WIDTH
    for width in (16, 32):
        conv = nn.Conv2d(width_in, width, 3, padding=1)
        stages.append(nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)))
        width_in = width
    return Network(stages, width_in * PLACES, num_classes)


def mobilenet_w8(num_classes: int, image_size: int = 32) -> Network:
    """Three inverted residuals and a wide 1x1 convolution, as in MobileNetV2."""
    stages: list[nn.Module] = [_stem(image_size)]
    for width_in, width, expansion, stride in ((8, 8, 1, 1), (8, 16, 2, 2), (16, 16, 2, 2)):
        stages.append(InvertedResidual(width_in, width, expansion, stride))
    head = nn.Sequential(*conv_bn(16, 32, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(SIDE))
    return Network([*stages, head], 32 * PLACES, num_classes)


def alexnet_frogs_w8(num_classes: int, image_size: int = 32) -> Network:
    """Poison Frogs' AlexNet: 5x5 convolutions with local response normalisation."""
    norm = {"alpha": 0.001, "beta": 0.75, "k": 1.0}
    first = nn.Sequential(
        nn.Conv2d(3, WIDTH, 5, image_size // INNER, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.LocalResponseNorm(9, **norm),
    )
    second = nn.Sequential(
        nn.Conv2d(WIDTH, 2 * WIDTH, 5, padding=2), nn.ReLU(), nn.LocalResponseNorm(9, **norm),
        nn.AdaptiveMaxPool2d(SIDE),
    )  # fmt: skip
    hidden = nn.Sequential(
        nn.Flatten(), nn.Linear(2 * WIDTH * PLACES, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()
    )
    return Network([first, second, hidden], 64, num_classes)


def alexnet_htbd_w8(num_classes: int, image_size: int = 32) -> Network:
    """The hidden-trigger backdoor's AlexNet: 3x3 convolutions, hidden layers with dropout."""
    stride = image_size // INNER
    first = nn.Sequential(
        nn.Conv2d(3, WIDTH, stride + 1, stride, padding=stride // 2), nn.ReLU(), nn.MaxPool2d(2)
    )
    second = nn.Sequential(
        nn.Conv2d(WIDTH, 2 * WIDTH, 3, padding=1), nn.ReLU(), nn.AdaptiveMaxPool2d(SIDE)
    )
    hidden = nn.Sequential(
        nn.Flatten(), nn.Dropout(), nn.Linear(2 * WIDTH * PLACES, 128), nn.ReLU(),
        nn.Dropout(), nn.Linear(128, 128), nn.ReLU(),
    )  # fmt: skip
    return Network([first, second, hidden], 128, num_classes)
