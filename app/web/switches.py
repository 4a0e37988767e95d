"""What a switch or a button of the launch form does to the values that were typed."""

from app.web.forms import Values, last

MAX_VICTIMS = 16


def settle(values: Values) -> Values:
    """Drop what no longer belongs: the knobs of another attack, the counts of another data set,
    the recipe of another regime or preset.

    The budget stays, because it is what one holds equal when comparing attacks.
    """
    if _switched(values, "attack.shown", "attack.name"):
        keep = {"attack.name", "attack.eps_255"}
        values = _without(values, "attack.", keep)
    if _switched(values, "data.shown", "data.dataset"):
        values = _without(values, "data.", {"data.dataset", "data.normalize"})
    for index in victim_indices(values):
        values = _settle_victim(values, f"victims.{index}.")
    action = last(values, "do")
    if action == "add-victim":
        values = _add_victim(values)
    elif action.startswith("remove-victim-"):
        values = _remove_victim(values, action.rpartition("-")[2])
    return values


def victim_indices(values: Values) -> list[int]:
    """Which victims something was typed for."""
    parts = [name.split(".") for name in values]
    found = {int(p[1]) for p in parts if p[0] == "victims" and len(p) > 2 and p[1].isdecimal()}
    return sorted(index for index in found if index < MAX_VICTIMS)


def _settle_victim(values: Values, prefix: str) -> Values:
    if _switched(values, f"{prefix}regime_shown", f"{prefix}regime"):
        values = _without(values, f"{prefix}preset")
        values = _without(values, f"{prefix}recipe.")
    if _switched(values, f"{prefix}preset_shown", f"{prefix}preset"):
        values = _without(values, f"{prefix}recipe.")
    return values


def _switched(values: Values, shown: str, chosen: str) -> bool:
    return shown in values and chosen in values and last(values, shown) != last(values, chosen)


def _without(values: Values, prefix: str, keep: frozenset[str] | set[str] = frozenset()) -> Values:
    return {k: v for k, v in values.items() if not k.startswith(prefix) or k in keep}


def _victim_names(values: Values, index: int) -> list[str]:
    return [name for name in values if name.startswith(f"victims.{index}.")]


def _add_victim(values: Values) -> Values:
    count = 0
    while _victim_names(values, count):
        count += 1
    if not 0 < count < MAX_VICTIMS:
        return values
    copied = {
        name.replace(f"victims.{count - 1}.", f"victims.{count}.", 1): list(values[name])
        for name in _victim_names(values, count - 1)
    }
    return values | copied | {f"victims.{count}.label": [""]}


def _remove_victim(values: Values, index: str) -> Values:
    if not index.isdecimal() or not _victim_names(values, 1):
        return values
    gone = int(index)
    kept: Values = {}
    for name, typed in values.items():
        head, _, rest = name.partition(".")
        number, _, knob = rest.partition(".")
        if head != "victims" or not number.isdecimal():
            kept[name] = typed
        elif int(number) != gone:
            moved = int(number) - (int(number) > gone)
            kept[f"victims.{moved}.{knob}"] = typed
    return kept
