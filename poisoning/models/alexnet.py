"""The two AlexNets of the original papers: Poison Frogs' and the hidden-trigger backdoor's."""

from torch import nn

from poisoning.models.network import Network


def alexnet_frogs(num_classes: int, image_size: int = 32) -> Network:
    """Poison Frogs' AlexNet (Shafahi et al. 2018): two 5x5 convolutions with local response
    normalisation, hidden layers of 384 and 192.
    """
    first = nn.Sequential(
        nn.Conv2d(3, 64, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.LocalResponseNorm(9, alpha=0.001, beta=0.75, k=1.0),
    )
    second = nn.Sequential(
        nn.Conv2d(64, 64, 5, padding=2),
        nn.ReLU(),
        nn.LocalResponseNorm(9, alpha=0.001, beta=0.75, k=1.0),
        nn.MaxPool2d(3, stride=2, padding=1),
    )
    places = (image_size // 4) ** 2
    hidden = nn.Sequential(
        nn.Flatten(), nn.Linear(64 * places, 384), nn.ReLU(), nn.Linear(384, 192), nn.ReLU()
    )
    return Network([first, second, hidden], 192, num_classes)


def alexnet_htbd(num_classes: int, image_size: int = 32) -> Network:
    """The hidden-trigger backdoor's AlexNet for 32x32 images (Saha et al. 2020): five 3x3
    convolutions, the first of stride 2, and two hidden layers of 4096 with dropout.
    """
    first = nn.Sequential(
        nn.Conv2d(3, 64, 3, stride=2, padding=1), nn.ReLU(), nn.MaxPool2d(3, stride=2)
    )
    second = nn.Sequential(nn.Conv2d(64, 192, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, stride=2))
    third = nn.Sequential(
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
    )
    hidden = nn.Sequential(
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(256, 4096),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(4096, 4096),
        nn.ReLU(),
    )
    return Network([first, second, third, hidden], 4096, num_classes)
