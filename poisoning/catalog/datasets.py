"""The data sets. No torch in here."""

from poisoning import class_names
from poisoning.catalog.rows import Dataset

_OF_32_PIXELS = (
    Dataset(
        name="digits_0_4",
        title="Digits 0 to 4",
        classes=("0", "1", "2", "3", "4"),
        image_size=32,
        train_images=650,
        test_images=251,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        load="poisoning.data.digits:load_0_4",
        licence="CC BY 4.0",
        url="https://archive.ics.uci.edu/dataset/80",
    ),
    Dataset(
        name="digits_5_9",
        title="Digits 5 to 9",
        classes=("5", "6", "7", "8", "9"),
        image_size=32,
        train_images=650,
        test_images=246,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        load="poisoning.data.digits:load_5_9",
        licence="CC BY 4.0",
        url="https://archive.ics.uci.edu/dataset/80",
        default_train_size=500,
        default_poisons=5,
    ),
    Dataset(
        name="cifar10",
        title="CIFAR-10",
        classes=(
            "airplane", "automobile", "bird", "cat", "deer",
            "dog", "frog", "horse", "ship", "truck",
        ),
        image_size=32,
        train_images=50_000,
        test_images=10_000,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2023, 0.1994, 0.2010),
        load="poisoning.data.cifar:load_cifar10",
        licence="research use; see the home page",
        url="https://www.cs.toronto.edu/~kriz/cifar.html",
        folder="cifar-10-batches-py",
        download="poisoning.data.cifar:download_cifar10",
        default_train_size=2500,
        default_poisons=25,
    ),
    Dataset(
        name="cifar100",
        title="CIFAR-100",
        classes=class_names.CIFAR100,
        image_size=32,
        train_images=50_000,
        test_images=10_000,
        mean=(0.5071, 0.4867, 0.4408),
        std=(0.2675, 0.2565, 0.2761),
        load="poisoning.data.cifar:load_cifar100",
        licence="research use; see the home page",
        url="https://www.cs.toronto.edu/~kriz/cifar.html",
        folder="cifar-100-python",
        download="poisoning.data.cifar:download_cifar100",
    ),
)  # fmt: skip

_TINY = tuple(class_names.TINY_IMAGENET.values())
_SEVEN = tuple(_TINY[place] for place in class_names.TINY_IMAGENET_SUBSET)
_TINY_IMAGENET = tuple(
    Dataset(
        name=name,
        title=title,
        classes=classes,
        image_size=64,
        train_images=500 * len(classes),
        test_images=50 * len(classes),
        mean=(0.4802, 0.4481, 0.3975),
        std=(0.2302, 0.2265, 0.2262),
        load=f"poisoning.data.tinyimagenet:load_{name}",
        licence="research use; see the home page",
        url="http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        folder="tiny-imagenet-200",
        default_train_size=train_size,
        default_poisons=poisons,
    )
    for name, title, classes, train_size, poisons in (
        ("tinyimagenet", "Tiny ImageNet", _TINY, 100_000, 250),
        ("tinyimagenet_first_half", "Tiny ImageNet, classes 0 to 99", _TINY[:100], 0, 0),
        ("tinyimagenet_last_half", "Tiny ImageNet, classes 100 to 199", _TINY[100:], 50_000, 250),
        ("tinyimagenet_subset", "Tiny ImageNet, seven classes (to check plumbing)", _SEVEN, 700, 5),
    )
)

DATASETS = (*_OF_32_PIXELS, *_TINY_IMAGENET)
