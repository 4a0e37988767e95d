"""What is written down beside every checkpoint. No torch in here."""

from pydantic import BaseModel, ConfigDict

from poisoning.spec import PretrainSpec


class Card(BaseModel):
    """What is known of a checkpoint. ``mean`` and ``std`` are what its inputs were divided by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    model: str
    num_classes: int
    image_size: int
    dataset: str
    dataset_md5: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    clean_accuracy: float  # fraction, over test_images
    test_images: int
    robust_accuracy: float | None = None  # models.robust's, of one trained adversarially
    recipe: PretrainSpec | None = None  # None: trained elsewhere
    source: str = "trained by Dosimeter"
    seconds: float | None = None
    hardware: str | None = None
    versions: dict[str, str] = {}
    sha256: str = ""  # of the tensor file; filled in by save()
