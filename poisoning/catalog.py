"""What exists by name: attacks, data sets, models, regimes, pretraining recipes. No torch in here.

A row holds what a page or a form needs to know and, as a lazy ``"module:function"`` string, where
the code is; only the process that runs an experiment ever resolves it.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from poisoning import class_names, params

Budget = Literal["none", "linf", "linf_outside_trigger", "unbounded"]
Needs = Literal["nothing", "features", "classifier"]  # of its surrogates


class UnknownName(KeyError):
    """A name no catalogue has; says which ones come close."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        close = difflib.get_close_matches(name, self.known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(self.known)}"
        self.message = f"there is no {kind} named {name!r}; {hint}"
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Attack:
    """One attack. ``version`` enters every craft_hash: raise it when poisons would change."""

    name: str
    title: str
    short: str
    craft: str
    params: type[params.Knobs]
    budget: Budget
    needs: Needs  # "classifier": a surrogate that tells the victim's own classes apart
    paper: str
    url: str
    threat_model: str
    color: str  # Okabe-Ito, the same on every page and plot
    marker: str
    version: int = 1
    tags: tuple[str, ...] = ()
    variant_of: str | None = None  # the attack whose other published form it is

    @property
    def is_backdoor(self) -> bool:
        return issubclass(self.params, params.Triggered)


@dataclass(frozen=True)
class Regime:
    """How much of a victim is trained; ``train`` names its ``train_and_judge``. Where
    ``at_once`` the victims of many trials are one batched problem; else they come one by one.
    """

    name: str
    title: str
    short: str
    train: str
    params: type[params.Knobs]
    at_once: bool
    unit: str  # of its progress


@dataclass(frozen=True)
class Dataset:
    """One labelled data set with a train and a test split, images uint8 [N, C, H, W]."""

    name: str
    title: str
    classes: tuple[str, ...]
    image_size: int
    train_images: int
    test_images: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    load: str
    licence: str
    url: str
    folder: str | None = None  # sub-folder of the data folder that must exist; None: needs no files
    download: str | None = None  # who fetches it into the data folder; None: by hand
    default_train_size: int = 0
    default_poisons: int = 0


@dataclass(frozen=True)
class Model:
    """One architecture; ``build`` takes (num_classes, image_size)."""

    name: str
    title: str
    build: str
    feature_dim: int
    paper: str
    forward_mflop: float  # 2*MAC per image of the size it is for; for cost estimates
    image_size: int | None = None  # the only size it takes; None: any multiple of 32
    is_scalable: bool = False  # once built, takes any: it ends in a mean over all places


ATTACKS: dict[str, Attack] = {}
DATASETS: dict[str, Dataset] = {}
MODELS: dict[str, Model] = {}
REGIMES: dict[str, Regime] = {}


def find(kind: str, table: dict[str, Any], name: str) -> Any:
    """The row named ``name``; UnknownName with a suggestion where there is none."""
    try:
        return table[name]
    except KeyError:
        raise UnknownName(kind, name, table) from None


def attack(name: str) -> Attack:
    return find("attack", ATTACKS, name)


def dataset(name: str) -> Dataset:
    return find("data set", DATASETS, name)


def model(name: str) -> Model:
    return find("model", MODELS, name)


def regime(name: str) -> Regime:
    return find("regime", REGIMES, name)


def resolve(target: str) -> Any:
    """The object a ``"module:name"`` string points to."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def _register(table: dict[str, Any], *rows: Any) -> None:
    for row in rows:
        if row.name in table:
            raise ValueError(f"{row.name!r} stands twice in a catalogue")
        table[row.name] = row


_FROGS = (
    "Shafahi et al., Poison Frogs! Targeted Clean-Label Poisoning Attacks on Neural Networks, "
    "NeurIPS 2018"
)
_POLYTOPE = "Zhu et al., Transferable Clean-Label Poisoning Attacks on Deep Neural Nets, ICML 2019"
_BULLSEYE = (
    "Aghakhani et al., Bullseye Polytope: A Scalable Clean-Label Poisoning Attack with Improved "
    "Transferability, EuroS&P 2021"
)
_LABELS = "Turner, Tsipras and Madry, Label-Consistent Backdoor Attacks, 2019"
_HIDDEN = "Saha, Subramanya and Pirsiavash, Hidden Trigger Backdoor Attacks, AAAI 2020"
_TARGETED = ("targeted", "clean-label")
GRADIENT_MATCHING = "gradient-matching"  # the objective is 1 - the cosine of two gradients
_BACKDOOR = ("backdoor", "clean-label")
_ONE_EXTRACTOR = "Targeted, clean label; needs a surrogate of the victim's extractor."
_EXTRACTORS = "Targeted, clean label; needs surrogates of the victim's extractor."


def _attack(
    name: str,
    title: str,
    short: str,
    model: type[params.Knobs],
    budget: Budget,
    needs: Needs,
    paper: tuple[str, str],
    threat_model: str,
    look: tuple[str, str],
    tags: tuple[str, ...],
    variant_of: str | None = None,
) -> Attack:
    return Attack(
        name=name,
        title=title,
        short=short,
        craft=f"poisoning.attacks.{name}:craft",
        params=model,
        budget=budget,
        needs=needs,
        paper=paper[0],
        url=paper[1],
        threat_model=threat_model,
        color=look[0],
        marker=look[1],
        tags=tags,
        variant_of=variant_of,
    )


_register(
    ATTACKS,
    _attack(
        "no_perturbation", "No perturbation (control)", "Control", params.NoPerturbation,
        "none", "nothing", ("-", ""), "No attacker: the base images are used as they are.",
        ("#999999", "square"), ("control",),
    ),
    _attack(
        "feature_collision", "Feature Collision", "FC", params.FeatureCollision,
        "linf", "features", (_FROGS, "https://arxiv.org/abs/1804.00792"), _ONE_EXTRACTOR,
        ("#E69F00", "circle"), _TARGETED,
    ),
    _attack(
        "feature_collision_reference", "Feature Collision (benchmark's code)", "FC ref",
        params.FeatureCollisionReference,
        "linf", "features", (_FROGS, "https://arxiv.org/abs/1804.00792"), _ONE_EXTRACTOR,
        ("#E69F00", "circle-open"), (*_TARGETED, "reference"), "feature_collision",
    ),
    _attack(
        "feature_collision_l2", "Feature Collision (l2 penalty)", "FC l2",
        params.FeatureCollisionL2,
        "unbounded", "features", (_FROGS, "https://arxiv.org/abs/1804.00792"), _ONE_EXTRACTOR,
        ("#E69F00", "circle-dot"), _TARGETED, "feature_collision",
    ),
    _attack(
        "convex_polytope", "Convex Polytope", "CP", params.ConvexPolytope,
        "linf", "features", (_POLYTOPE, "https://arxiv.org/abs/1905.05897"), _EXTRACTORS,
        ("#009E73", "triangle-up"), _TARGETED,
    ),
    _attack(
        "convex_polytope_end_to_end", "Convex Polytope (all blocks)", "CP e2e",
        params.ConvexPolytopeEndToEnd,
        "linf", "features", (_POLYTOPE, "https://arxiv.org/abs/1905.05897"), _EXTRACTORS,
        ("#009E73", "triangle-up-open"), _TARGETED, "convex_polytope",
    ),
    _attack(
        "bullseye_polytope", "Bullseye Polytope", "BP", params.BullseyePolytope,
        "linf", "features", (_BULLSEYE, "https://arxiv.org/abs/2005.00191"), _EXTRACTORS,
        ("#0072B2", "diamond"), _TARGETED,
    ),
    _attack(
        "bullseye_polytope_squared", "Bullseye Polytope (squared)", "BP sq",
        params.BullseyePolytopeSquared,
        "linf", "features", (_BULLSEYE, "https://arxiv.org/abs/2005.00191"), _EXTRACTORS,
        ("#0072B2", "diamond-open"), _TARGETED, "bullseye_polytope",
    ),
    _attack(
        "bullseye_polytope_end_to_end", "Bullseye Polytope (all blocks)", "BP e2e",
        params.BullseyePolytopeEndToEnd,
        "linf", "features", (_BULLSEYE, "https://arxiv.org/abs/2005.00191"), _EXTRACTORS,
        ("#0072B2", "diamond-dot"), _TARGETED, "bullseye_polytope",
    ),
    _attack(
        "clean_label_backdoor", "Clean-Label Backdoor", "CLBD", params.CleanLabelBackdoor,
        "linf_outside_trigger", "classifier", (_LABELS, "https://arxiv.org/abs/1912.02771"),
        "Backdoor, clean label; needs a classifier of the victim's classes.",
        ("#D55E00", "triangle-down"), _BACKDOOR,
    ),
    _attack(
        "clean_label_backdoor_reference", "Clean-Label Backdoor (benchmark's code)", "CLBD ref",
        params.CleanLabelBackdoorReference,
        "linf", "classifier", (_LABELS, "https://arxiv.org/abs/1912.02771"),
        "Backdoor, clean label; needs a classifier of the victim's classes.",
        ("#D55E00", "triangle-down-open"), (*_BACKDOOR, "reference"), "clean_label_backdoor",
    ),
    _attack(
        "hidden_trigger_backdoor", "Hidden-Trigger Backdoor", "HTBD",
        params.HiddenTriggerBackdoor,
        "linf", "features", (_HIDDEN, "https://arxiv.org/abs/1910.00033"),
        "Backdoor, clean label, the trigger unseen in training; needs a surrogate of the "
        "victim's extractor.",
        ("#CC79A7", "star"), _BACKDOOR,
    ),
    _attack(
        "hidden_trigger_backdoor_reference", "Hidden-Trigger Backdoor (benchmark's code)",
        "HTBD ref", params.HiddenTriggerBackdoorReference,
        "linf", "features", (_HIDDEN, "https://arxiv.org/abs/1910.00033"),
        "Backdoor, clean label, the trigger unseen in training; needs a surrogate of the "
        "victim's extractor.",
        ("#CC79A7", "star-open"), (*_BACKDOOR, "reference"), "hidden_trigger_backdoor",
    ),
    _attack(
        "witches_brew", "Witches' Brew", "WiB", params.WitchesBrew,
        "linf", "classifier",
        (
            "Geiping et al., Witches' Brew: Industrial Scale Data Poisoning via Gradient "
            "Matching, ICLR 2021",
            "https://arxiv.org/abs/2009.02276",
        ),
        "Targeted, clean label, against training from scratch; needs a classifier of the "
        "victim's classes.",
        ("#56B4E9", "hexagon"), (*_TARGETED, GRADIENT_MATCHING),
    ),
    _attack(
        "badnets", "BadNets (clean label)", "BadNets", params.BadNets,
        "unbounded", "nothing",
        (
            "Gu, Dolan-Gavitt and Garg, BadNets: Identifying Vulnerabilities in the Machine "
            "Learning Model Supply Chain, 2017",
            "https://arxiv.org/abs/1708.06733",
        ),
        "Backdoor; the trigger in plain sight on images of the base class; knows nothing of the "
        "victim.",
        ("#F0E442", "cross"), _BACKDOOR,
    ),
)  # fmt: skip

_register(
    REGIMES,
    Regime(
        "frozen", "frozen extractor", "FFE", "poisoning.victims.frozen:train_and_judge",
        params.FrozenVictim, True, "epochs",
    ),
    Regime(
        "end_to_end", "end to end", "E2E", "poisoning.victims.end_to_end:train_and_judge",
        params.EndToEndVictim, False, "steps",
    ),
    Regime(
        "from_scratch", "from scratch", "FST", "poisoning.victims.from_scratch:train_and_judge",
        params.FromScratchVictim, False, "steps",
    ),
)  # fmt: skip

_register(
    DATASETS,
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
for _name, _title, _classes, _train_size, _poisons in (
    ("tinyimagenet", "Tiny ImageNet", _TINY, 100_000, 250),
    ("tinyimagenet_first_half", "Tiny ImageNet, classes 0 to 99", _TINY[:100], 0, 0),
    ("tinyimagenet_last_half", "Tiny ImageNet, classes 100 to 199", _TINY[100:], 50_000, 250),
    ("tinyimagenet_subset", "Tiny ImageNet, seven classes (to check plumbing)", _SEVEN, 700, 5),
):
    _register(
        DATASETS,
        Dataset(
            name=_name,
            title=_title,
            classes=_classes,
            image_size=64,
            train_images=500 * len(_classes),
            test_images=50 * len(_classes),
            mean=(0.4802, 0.4481, 0.3975),
            std=(0.2302, 0.2265, 0.2262),
            load=f"poisoning.data.tinyimagenet:load_{_name}",
            licence="research use; see the home page",
            url="http://cs231n.stanford.edu/tiny-imagenet-200.zip",
            folder="tiny-imagenet-200",
            default_train_size=_train_size,
            default_poisons=_poisons,
        ),
    )

_HE = "He et al., CVPR 2016"
_OWN = "not a published model; for machines without a GPU"
_register(
    MODELS,
    Model(
        "resnet18",
        "ResNet-18",
        "poisoning.models.resnet:resnet18",
        512,
        _HE,
        1111,
        is_scalable=True,
    ),
    Model(
        "resnet18_w16",
        "ResNet-18, width 16",
        "poisoning.models.resnet:resnet18_w16",
        128,
        _OWN,
        70,
        is_scalable=True,
    ),
    Model("resnet6_w16", "ResNet-6, width 16", "poisoning.models.resnet:resnet6_w16", 512, _OWN, 4),
    Model("convnet3", "ConvNet-3", "poisoning.models.convnet:convnet3", 512, _OWN, 4),
    Model(
        "vgg11",
        "VGG11",
        "poisoning.models.vgg:vgg11",
        512,
        "Simonyan and Zisserman, ICLR 2015",
        306,
        image_size=32,
    ),
    Model(
        "mobilenet_v2",
        "MobileNetV2",
        "poisoning.models.mobilenet:mobilenet_v2",
        1280,
        "Sandler et al., CVPR 2018",
        182,
        is_scalable=True,
    ),
    Model(
        "alexnet_frogs",
        "AlexNet (Poison Frogs)",
        "poisoning.models.alexnet:alexnet_frogs",
        192,
        "Shafahi et al., NeurIPS 2018",
        66,
    ),
    Model(
        "alexnet_htbd",
        "AlexNet (hidden trigger)",
        "poisoning.models.alexnet:alexnet_htbd",
        4096,
        "Saha et al., AAAI 2020",
        86,
        image_size=32,
    ),
    Model(
        "resnet32_clbd",
        "ResNet-32, narrow",
        "poisoning.models.resnet:resnet32_clbd",
        64,
        "Turner et al. 2019",
        138,
        is_scalable=True,
    ),
    Model(
        "vgg16_tiny",
        "VGG16 for 64 pixels",
        "poisoning.models.vgg:vgg16_tiny",
        512,
        "Simonyan and Zisserman, ICLR 2015",
        2506,
        image_size=64,
    ),
    Model(
        "resnet34_tiny",
        "ResNet-34 for 64 pixels",
        "poisoning.models.resnet:resnet34_tiny",
        512,
        _HE,
        2335,
        is_scalable=True,
    ),
    Model(
        "mobilenet_v2_tiny",
        "MobileNetV2 for 64 pixels",
        "poisoning.models.mobilenet:mobilenet_v2",
        1280,
        "Sandler et al., CVPR 2018",
        730,
        is_scalable=True,
    ),
)
_STAND_IN = "not a published model; stands in for a larger one where a study is only tried out"
_register(
    MODELS,
    *(
        Model(name, title, f"poisoning.models.small:{name}", dim, _STAND_IN, mflop)
        for name, title, dim, mflop in (
            ("resnet6_w8", "ResNet-6, width 8", 256, 1.2),
            ("resnet8_w8", "ResNet-8, width 8", 512, 1.6),
            ("vgg3_w8", "VGG-3, width 8", 512, 1.3),
            ("mobilenet_w8", "MobileNet, width 8", 512, 0.4),
            ("alexnet_frogs_w8", "AlexNet (Poison Frogs), width 8", 64, 0.8),
            ("alexnet_htbd_w8", "AlexNet (hidden trigger), width 8", 128, 0.4),
        )
    ),
)
