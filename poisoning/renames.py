"""What other code bases call the tensors of our networks. No torch in here.

A naming is a list of rules: a regular expression, and what stands in its place. They are applied
to every name, in order, after what torch's wrappers put in front of it has been taken off.
"""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from poisoning import catalog

Renames = tuple[tuple[str, str], ...]  # regular expression, replacement

AUTO = "auto"  # the first naming that fits exactly
LONGEST = 200  # characters of either half of a rule
WRAPPED = re.compile(r"^(?:module\.|_orig_mod\.)+")  # DataParallel, torch.compile

_STEM: Renames = ((r"^conv1\.", "stages.0.0."), (r"^bn1\.", "stages.0.1."))
_LAST: Renames = ((r"^(?:fc|classifier)\.", "linear."),)
_VGG11 = ((0, 1), (4, 5), (8, 9, None, 11, 12), (15, 16, None, 18, 19), (22, 23, None, 25, 26))
_MOBILENET = (1, 2, 3, 4, 3, 3, 1)  # blocks of each group
_CONVOLUTIONS = {"conv1": 0, "bn1": 1, "conv2": 3, "bn2": 4, "conv3": 6, "bn3": 7}


def _vgg11() -> Renames:
    """``features``: every layer of the stages in one row, ReLU and pooling counted."""
    return tuple(
        (rf"^features\.{at}\.", f"stages.{stage}.{place}.")
        for stage, row in enumerate(_VGG11)
        for place, at in enumerate(row)
        if at is not None
    )


def _mobilenet() -> Renames:
    """``layers``: the blocks of all groups in one row, their convolutions by number."""
    places = [(group, block) for group, depth in enumerate(_MOBILENET, 1) for block in range(depth)]
    blocks = [(rf"^layers\.{k}\.", f"stages.{g}.{b}.") for k, (g, b) in enumerate(places)]
    inner = [
        (rf"^(stages\.\d+\.\d+\.){name}\.", rf"\g<1>body.{place}.")
        for name, place in _CONVOLUTIONS.items()
    ]
    return (*_STEM, (r"^conv2\.", "stages.8.0."), (r"^bn2\.", "stages.8.1."), *blocks, *inner)


NAMINGS: dict[str, Renames] = {
    "dosimeter": (),
    # conv1, bn1, layer1.0.conv1, ..., layer4.1.shortcut.0 (or downsample.0), linear (or fc)
    "resnet_groups": (
        *_STEM,
        (r"^layer(\d+)\.(\d+)\.", r"stages.\1.\2."),
        (r"\.downsample\.", ".shortcut."),
        *_LAST,
    ),
    # conv1, bn1, layers.0.conv1, ..., layers.7.short.0, linear: ResNet-18's blocks in one row
    "resnet18_row": (
        *_STEM,
        *((rf"^layers\.{k}\.", f"stages.{k // 2 + 1}.{k % 2}.") for k in range(8)),
        (r"\.short\.", ".shortcut."),
        *_LAST,
    ),
    # features.0, features.1, features.4, ..., classifier
    "vgg11_row": (*_vgg11(), *_LAST),
    # conv1, bn1, layers.0.conv1, ..., layers.16.bn3, conv2, bn2, linear
    "mobilenet_v2_row": (*_mobilenet(), *_LAST),
}


def renamed(name: str, rules: Renames) -> str:
    """A tensor's name under some rules."""
    name = WRAPPED.sub("", name)
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


# --- what a person may ask for ------------------------------------------------------------------


def _known(naming: str) -> str:
    if naming == AUTO:
        return naming
    try:
        catalog.find("naming", {AUTO: (), **NAMINGS}, naming)
    except catalog.UnknownName as error:
        raise ValueError(error.message) from None
    return naming


def _parsed(rule: Any) -> Any:
    """``PATTERN=REPLACEMENT`` in two; the last '=' counts, for patterns may hold some."""
    if not isinstance(rule, str):
        return rule
    pattern, separator, replacement = rule.rpartition("=")
    if not separator or not pattern:
        raise ValueError(f"{rule!r} is not PATTERN=REPLACEMENT")
    return pattern, replacement


def _checked(rule: tuple[str, str]) -> tuple[str, str]:
    pattern, replacement = rule
    if max(map(len, rule)) > LONGEST:
        raise ValueError(f"either half may have {LONGEST} characters")
    try:
        re.compile(pattern).sub(replacement, "")
    except (re.error, IndexError, OverflowError, RecursionError) as error:
        raise ValueError(f"{pattern!r} to {replacement!r} is no substitution: {error}") from None
    return rule


Naming = Annotated[str, AfterValidator(_known)]
Rule = Annotated[tuple[str, str], BeforeValidator(_parsed), AfterValidator(_checked)]


def source(filename: str, naming: str, own: int) -> str:
    """Where weights come from, as a card says it; ``own`` counts rules beside the naming's."""
    more = f" and {own} renames" if own > 1 else " and one rename" if own else ""
    return f"trained elsewhere; read from {filename}, named as in {naming}{more}"
