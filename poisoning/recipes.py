"""Networks that can be trained by name: extractors, and classifiers of the victims' own classes.

A name says architecture, data set, "adv" where it is trained adversarially, "raw" where its images
are not normalised, epochs where they are not the data set's usual ones, seed. What a recipe reaches
is measured when it is run and stands on the checkpoint's card. No torch in here.
"""

from collections.abc import Iterable
from typing import Any

from poisoning.spec import Adversarial, PretrainSpec

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

# The extractors of the CIFAR-10 transfer benchmark that come with the project: a few epochs on two
# cores, the first of them on smaller images where an architecture takes those.
_SHIPPED = {
    "resnet18-cifar100-10ep": _BRIEF.model_copy(update={"epochs": 10, "sizes": (24, 24, 32)}),
    "vgg11-cifar100-12ep": _BRIEF.model_copy(
        update={"model": "vgg11", "epochs": 12, "batch_size": 64, "learning_rate": 0.1}
    ),
    "mobilenet_v2-cifar100-12ep": _BRIEF.model_copy(
        update={
            "model": "mobilenet_v2",
            "epochs": 12,
            "batch_size": 64,
            "learning_rate": 0.1,
            "sizes": (24, 24, 32),
        }
    ),
}

# One epoch of a small network, for first steps on real images: about a minute, 35 % clean.
_SMALL = _BRIEF.model_copy(
    update={
        "model": "convnet3",
        "epochs": 1,
        "batch_size": 64,
        "learning_rate": 0.1,
        "augment": False,
    }
)

# Small networks that a processor trains in minutes.
_NARROW = {
    "convnet3-cifar100-8ep": _SMALL.model_copy(update={"epochs": 8}),
    "resnet6_w16-cifar100-8ep": _SMALL.model_copy(update={"epochs": 8, "model": "resnet6_w16"}),
    "resnet18_w16-cifar100-8ep": _BRIEF.model_copy(update={"model": "resnet18_w16"}),
}

# The unified benchmark's own: 200 epochs at 0.01, dropped at 100 and 150, no augmentation.
_BENCHMARK = PretrainSpec()

# The same on CIFAR-10, for the attacks' original settings: each trial draws one of ten seeds.
_BASELINE = PretrainSpec(dataset="cifar10")
_BASELINES = {
    "resnet18-cifar10-200ep": _BASELINE,
    "alexnet_frogs-cifar10-raw-200ep": _BASELINE.model_copy(
        update={"model": "alexnet_frogs", "normalize": False}
    ),
    "alexnet_htbd-cifar10-200ep": _BASELINE.model_copy(update={"model": "alexnet_htbd"}),
}

# Adversarial training as published for CIFAR-10 (Madry et al., ICLR 2018): PGD of 7 steps of 2 at
# eps 8. The short one takes a single step of 1.25 eps from a drawn start, which costs a quarter
# (Wong, Rice and Kolter, "Fast is better than free", ICLR 2020).
_ADVERSARIAL = PretrainSpec(
    dataset="cifar10", learning_rate=0.1, augment=True, adversarial=Adversarial()
)
_ADVERSARIAL_BRIEF = _BRIEF.model_copy(
    update={"dataset": "cifar10", "adversarial": Adversarial(steps=1, step_size_255=10)}
)
# On the digits, whose strokes are wide and whose contrast is full, 8 / 255 is next to nothing.
_ADVERSARIAL_DIGITS = _DIGITS.model_copy(
    update={
        "dataset": "digits_5_9",
        "epochs": 10,
        "adversarial": Adversarial(eps_255=32, steps=2, step_size_255=24),
    }
)

# Witches' Brew's conservative training; the rate is a tenth for all but residual networks.
_GRADIENT_MATCHING = PretrainSpec(
    dataset="cifar10",
    epochs=40,
    learning_rate=0.1,
    drop_epochs=(15, 25, 35),
    nesterov=True,
    weight_decay=5e-4,
    augment=True,
)

SEEDS = range(2)  # a white box and, with the other, a grey box
SAMPLED_SEEDS = range(10)
ENSEMBLE_SEEDS = range(4)


def _seeded(spec: PretrainSpec, name: str, seeds: Iterable[int]) -> dict[str, PretrainSpec]:
    return {f"{name}-s{seed}": spec.model_copy(update={"seed": seed}) for seed in seeds}


def _of(model: str, spec: PretrainSpec) -> PretrainSpec:
    return spec.model_copy(update={"model": model})


def _extractors() -> dict[str, PretrainSpec]:
    """Pretrained on other classes than the victims'."""
    recipes: dict[str, PretrainSpec] = {}
    for model in ("convnet3", "resnet6_w16"):
        recipes |= _seeded(_of(model, _DIGITS), f"{model}-digits_0_4", SEEDS)
    recipes["convnet3-cifar100-1ep-s0"] = _SMALL
    for name, spec in _NARROW.items():
        recipes |= _seeded(spec, name, (0,))
    for name, spec in _SHIPPED.items():
        recipes |= _seeded(spec, name, SEEDS)
    for model in ("resnet18", "vgg11", "mobilenet_v2"):
        recipes |= _seeded(_of(model, _BENCHMARK), f"{model}-cifar100-200ep", SEEDS)
    tiny = _BENCHMARK.model_copy(update={"dataset": "tinyimagenet_first_half", "batch_size": 64})
    for model in ("vgg16_tiny", "resnet34_tiny", "mobilenet_v2_tiny"):
        name = f"{model}-tinyimagenet_first_half-200ep"
        recipes |= _seeded(_of(model, tiny), name, (0,))
    return recipes


def _classifiers() -> dict[str, PretrainSpec]:
    """Trained on the victims' own classes."""
    recipes: dict[str, PretrainSpec] = {}
    digits = _DIGITS.model_copy(update={"dataset": "digits_5_9"})
    for model in ("convnet3", "resnet6_w16"):
        recipes |= _seeded(_of(model, digits), f"{model}-digits_5_9", SEEDS)
    recipes |= _seeded(_ADVERSARIAL_DIGITS, "convnet3-digits_5_9-adv", (0,))
    smaller = _ADVERSARIAL_BRIEF.model_copy(update={"sizes": (24, 24, 32)})
    recipes |= _seeded(smaller, "resnet18-cifar10-adv-8ep", (0,))
    recipes |= _seeded(_ADVERSARIAL, "resnet18-cifar10-adv-200ep", (0,))
    raw = _ADVERSARIAL.model_copy(update={"normalize": False})
    recipes |= _seeded(raw, "resnet18-cifar10-adv-raw-200ep", (0,))
    brief = _BRIEF.model_copy(update={"dataset": "cifar10"})
    recipes |= _seeded(brief, "resnet18-cifar10-8ep", (0,))
    recipes |= _seeded(_GRADIENT_MATCHING, "resnet18-cifar10-40ep", (0,))
    for model in ("vgg11", "mobilenet_v2"):
        slower = _of(model, _GRADIENT_MATCHING).model_copy(update={"learning_rate": 0.01})
        recipes |= _seeded(slower, f"{model}-cifar10-40ep", SEEDS)
    for name, spec in _BASELINES.items():
        recipes |= _seeded(spec, name, (0,))
    return recipes


def _further_seeds() -> dict[str, PretrainSpec]:
    """Of what trials sample from and ensembles are made of."""
    recipes = _seeded(_GRADIENT_MATCHING, "resnet18-cifar10-40ep", ENSEMBLE_SEEDS)
    for name, spec in _NARROW.items():
        recipes |= _seeded(spec, name, SEEDS)
    for name, spec in _BASELINES.items():
        recipes |= _seeded(spec, name, SAMPLED_SEEDS)
    return recipes


def _of_studies() -> dict[str, PretrainSpec]:
    """What single factors of the baselines are varied with, and short trainings of everything."""
    recipes: dict[str, PretrainSpec] = {}
    brief = _BRIEF.model_copy(update={"dataset": "cifar10"})
    # without batch normalisation a rate of 0.2 diverges
    gentle = brief.model_copy(update={"learning_rate": 0.02})
    for spec, extra in (
        (_BASELINE, ""),
        (_BASELINE.model_copy(update={"normalize": False}), "-raw"),
    ):
        for model in ("resnet18", "vgg11", "mobilenet_v2"):
            recipes |= _seeded(_of(model, spec), f"{model}-cifar10{extra}-200ep", SEEDS)
            short = _of(model, brief).model_copy(update={"normalize": spec.normalize})
            recipes |= _seeded(short, f"{model}-cifar10{extra}-8ep", SEEDS)
        for model in ("alexnet_frogs", "alexnet_htbd"):
            short = _of(model, gentle).model_copy(update={"normalize": spec.normalize})
            recipes |= _seeded(short, f"{model}-cifar10{extra}-8ep", SEEDS)
    raw = _ADVERSARIAL_BRIEF.model_copy(update={"normalize": False, "sizes": (24, 24, 32)})
    return recipes | _seeded(raw, "resnet18-cifar10-adv-raw-8ep", (0,))


def _of_tiny_imagenet() -> dict[str, PretrainSpec]:
    """Classifiers and short trainings for Tiny ImageNet."""
    recipes: dict[str, PretrainSpec] = {}
    first = "tinyimagenet_first_half"
    published = _BENCHMARK.model_copy(update={"batch_size": 64})
    brief = _BRIEF.model_copy(update={"learning_rate": 0.1})
    for model in ("vgg16_tiny", "resnet34_tiny", "mobilenet_v2_tiny"):
        for spec, epochs in ((published, "200ep"), (brief, "8ep")):
            extractor = _of(model, spec).model_copy(update={"dataset": first})
            recipes |= _seeded(extractor, f"{model}-{first}-{epochs}", SEEDS)
    for model, spec, epochs in (
        ("vgg16_tiny", published, "200ep"),
        ("vgg16_tiny", brief, "8ep"),
        ("resnet34_tiny", _GRADIENT_MATCHING, "40ep"),
        ("resnet34_tiny", brief, "8ep"),
    ):
        classifier = _of(model, spec).model_copy(update={"dataset": "tinyimagenet"})
        recipes |= _seeded(classifier, f"{model}-tinyimagenet-{epochs}", (0,))
    for dataset in ("tinyimagenet", "tinyimagenet_last_half"):
        for spec, epochs in ((_ADVERSARIAL, "200ep"), (_ADVERSARIAL_BRIEF, "8ep")):
            robust = _of("resnet34_tiny", spec).model_copy(update={"dataset": dataset})
            recipes |= _seeded(robust, f"resnet34_tiny-{dataset}-adv-{epochs}", (0,))
    return recipes


# What stands in for published networks where a study is only tried out: one to three seconds each.
_TRIED = _DIGITS.model_copy(update={"epochs": 8})


def _of_smoke() -> dict[str, PretrainSpec]:
    recipes: dict[str, PretrainSpec] = {}

    def add(model: str, dataset: str, seeds: Iterable[int] = SEEDS, **changes: Any) -> None:
        spec = _TRIED.model_copy(update={"model": model, "dataset": dataset, **changes})
        marks = "-adv" * (spec.adversarial is not None) + "-raw" * (not spec.normalize)
        recipes.update(_seeded(spec, f"{model}-{dataset}{marks}", seeds))

    for model in ("resnet6_w8", "vgg3_w8", "mobilenet_w8"):
        for dataset in ("digits_0_4", "digits_5_9"):
            add(model, dataset)
        add(model, "digits_5_9", normalize=False)
        add(model, "tinyimagenet_subset", epochs=2)
    add("alexnet_htbd_w8", "digits_5_9")
    add("alexnet_frogs_w8", "digits_5_9", normalize=False, learning_rate=0.02)
    for normalize in (True, False):
        knobs = _ADVERSARIAL_DIGITS.adversarial
        add("resnet6_w8", "digits_5_9", (0,), adversarial=knobs, normalize=normalize)
    knobs = Adversarial(steps=2, step_size_255=6)
    add("resnet6_w8", "tinyimagenet_subset", (0,), epochs=2, adversarial=knobs)
    return recipes


def brief(name: str) -> str:
    """The recipe of the same network after a short training."""
    stem, _, seed = name.rpartition("-s")
    stem = stem.rpartition("-")[0]
    found = [shipped for shipped in _SHIPPED if shipped.rpartition("-")[0] == stem]
    return f"{found[0] if found else f'{stem}-8ep'}-s{int(seed) % 2}"


# What a list of recipes shows, and all that is known by name.
LISTED: dict[str, PretrainSpec] = _extractors() | _classifiers()
FOR_STUDIES: dict[str, PretrainSpec] = _of_studies() | _of_tiny_imagenet() | _of_smoke()
RECIPES: dict[str, PretrainSpec] = LISTED | _further_seeds() | FOR_STUDIES
