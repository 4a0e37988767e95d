"""Extractors that can be trained by name. No torch in here.

A name says architecture, data set, epochs where they are not the data set's usual ones, seed.
What a recipe reaches is measured when it is run and stands on the checkpoint's card.
"""

from poisoning.spec import PretrainSpec

# Enough for the digits: under five seconds on two cores.
_DIGITS = PretrainSpec(
    model="convnet3",
    dataset="digits_0_4",
    epochs=15,
    batch_size=64,
    learning_rate=0.1,
    schedule="one_cycle",
    nesterov=True,
    weight_decay=5e-4,
)

# A few epochs on CIFAR-100 for machines without a GPU: one cycle to 0.2, crop and flip.
_BRIEF = PretrainSpec(
    model="resnet18",
    dataset="cifar100",
    epochs=8,
    learning_rate=0.2,
    schedule="one_cycle",
    nesterov=True,
    weight_decay=5e-4,
    augment=True,
    precision="fast",
)

# One epoch of a narrow network, for tests on real images: under a minute on two cores, 24 % clean.
_NARROW = _BRIEF.model_copy(
    update={
        "model": "resnet18_w16",
        "epochs": 1,
        "batch_size": 64,
        "learning_rate": 0.1,
        "augment": False,
    }
)

# The unified benchmark's own: 200 epochs at 0.01, dropped at 100 and 150, no augmentation.
_BENCHMARK = PretrainSpec()

SEEDS = range(2)  # a white box and, with the other, a grey box


def _recipes() -> dict[str, PretrainSpec]:
    recipes: dict[str, PretrainSpec] = {}
    for seed in SEEDS:
        for model in ("convnet3", "resnet6_w16"):
            update = {"model": model, "seed": seed}
            recipes[f"{model}-digits_0_4-s{seed}"] = _DIGITS.model_copy(update=update)
    recipes["resnet18_w16-cifar100-1ep-s0"] = _NARROW
    for model in ("resnet18", "vgg11", "mobilenet_v2"):
        for seed in SEEDS:
            update = {"model": model, "seed": seed}
            brief = _BRIEF.model_copy(update=update)
            recipes[f"{model}-cifar100-8ep-s{seed}"] = brief
            recipes[f"{model}-cifar100-200ep-s{seed}"] = _BENCHMARK.model_copy(update=update)
    return recipes


RECIPES: dict[str, PretrainSpec] = _recipes()
