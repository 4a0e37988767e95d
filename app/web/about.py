"""What the words mean."""

from fastapi import APIRouter, Request, Response

from app.web.render import page

router = APIRouter()

NUMBERS = [
    (
        "Success rate",
        "The share of trials in which the victim, after its last epoch, takes the target for the "
        "base class. Always with the number of trials, n.",
    ),
    (
        "Error bar",
        "± is the standard error the unified benchmark publishes: √(p(1−p)/n), and √(0.25/n) "
        "where the rate is close to 0 or 1. The drawn bar is Wilson's 95 % interval: what the "
        "rate could be, over setups.",
    ),
    (
        "*, confidence sequence",
        "The interval of an experiment that may stop early or was extended, and of all that is "
        "pooled with one. Whoever looks at trials as they come and stops, or goes on, by what they "
        "see may not use an interval for a fixed n. A confidence sequence holds at every n at "
        "once, and is wider for it; so is the interval of the excess, and the p-value of a pair.",
    ),
    (
        "Twin",
        "The same victim, with the same initialisation, order and crops, trained with the base "
        "originals in the poisons' place. It is the control, and always grey.",
    ),
    (
        "Excess",
        "Successes minus the twins' successes, over n, with Newcombe's paired 95 % interval. An "
        "interval that includes 0 means: cannot be told from chance at this n.",
    ),
    (
        "Patched rate",
        "For a backdoor: of all test images of the target's class, with the trigger on, the share "
        "that is taken for the base class. The success rate counts one such image per trial.",
    ),
    (
        "Robustness",
        "Of the targets a victim was fooled on, the share it is still fooled on when the target is "
        "flipped or shifted before it is shown.",
    ),
    (
        "Clean accuracy",
        "How many untouched test images the victim names rightly. A poisoned network that has "
        "become bad at its job is noticed; the drop against the twin is shown beside it.",
    ),
    (
        "Budget eps",
        "The most any pixel of a poison may differ from its base, in steps of 1/255. It is checked "
        "on the stored 8-bit pixels, exactly; victims train on those same pixels.",
    ),
    (
        "Margin",
        "The logit of the base class minus the best other one. Above zero the attacker wins.",
    ),
    (
        "Profile",
        "How big an experiment is: smoke (a plumbing check), quick, paper (100 trials, exact "
        "recipes). Different profiles never share a ranking.",
    ),
    (
        "Precision",
        "exact is fp32; fast is bf16. They never share a ranking; an attack's card says where "
        "fast was certified against exact.",
    ),
]

ROLES = [
    ("Target", "The test image to be misclassified."),
    ("Base", "A clean training image of the base class that gets perturbed into a poison."),
    ("Base class", "The class the attacker wants the target to be taken for."),
    (
        "Poison",
        "A base after its perturbation. Its label is right; a person would not notice it.",
    ),
    (
        "Trigger",
        "A small patch. A backdoor's victim is asked about the target with the trigger on.",
    ),
    ("Surrogate", "The network an attacker crafts on."),
    ("Victim", "The network that is trained on the poisoned set."),
    (
        "White, grey and black box",
        "White: the victim's own checkpoint is among the surrogates. Grey: the same architecture "
        "with other weights. Black: neither. It is computed from the spec, not declared.",
    ),
    (
        "Frozen, end to end, from scratch",
        "What the victim trains: only a new last layer; everything, from a pretrained start; "
        "everything, from nothing.",
    ),
    (
        "Sampled checkpoint",
        "Where a spec says sampled, every trial draws one checkpoint of a list, so that the rate "
        "is over networks too.",
    ),
    (
        "Setup and trial",
        "A setup is a target, a base class and its bases. A trial carries one setup through: "
        "craft, then train and judge each victim and its twin.",
    ),
    ("Experiment", "One attack, a list of victims, N setups."),
    ("Study", "Experiments that together regenerate one table or figure."),
    ("Checkpoint", "A pretrained network by name, with its recipe, hash and clean accuracy."),
]


@router.get("/about")
def show(request: Request) -> Response:
    return page(request, "about/index.html", numbers=NUMBERS, roles=ROLES)
