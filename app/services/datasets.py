"""Whether the files of a data set, and of a list of setups, are where the settings say."""

from app.errors import Invalid
from app.settings import Settings
from poisoning import catalog


def has_files(settings: Settings, name: str) -> bool:
    folder = catalog.dataset(name).folder
    return folder is None or (settings.datasets_dir / folder).is_dir()


def check_files(settings: Settings, name: str, field: str) -> None:
    """Refuse a data set whose files are not there; Invalid names the field and the remedy."""
    try:
        row = catalog.dataset(name)
    except catalog.UnknownName as error:
        raise Invalid.field(field, str(error)) from None
    if has_files(settings, name):
        return
    raise Invalid.field(
        field,
        f"the files of {row.title} are not in {settings.datasets_dir}",
        f"run `dosimeter data download {name}`, or set DOSIMETER_DATA_DIR to the folder that "
        f"holds {row.folder}",
    )


def check_setups(settings: Settings, name: str, field: str) -> None:
    """Refuse a benchmark's list of setups that is not there."""
    folder = settings.datasets_dir / "setups"
    if name == "drawn" or any((folder / f"{name}{end}").is_file() for end in (".json", ".pickle")):
        return
    raise Invalid.field(
        field,
        f"the list {name} is not in {folder}",
        f"run `dosimeter data download {name}`, or copy its .json or .pickle there",
    )
