"""The attacks. No torch in here."""

from poisoning import params
from poisoning.catalog.rows import Attack, Budget, Needs

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


ATTACKS = (
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
