"""What exists by name, with the JSON schema of every knob: enough to build a form from."""

from fastapi import APIRouter

from app.api import examples
from app.schemas import CatalogueEntry
from poisoning import catalog, victim_params
from poisoning.recipes import RECIPES
from poisoning.spec import BENCHMARK_SETUPS

router = APIRouter(tags=["catalogue"], prefix="/catalogue")
MANY = examples.ok([examples.ENTRY])


@router.get("/attacks", responses=MANY)
def attacks() -> list[CatalogueEntry]:
    """Attacks: paper, threat model, budget, and the schema of their knobs."""
    return [
        CatalogueEntry(
            name=row.name,
            title=row.title,
            about={
                "short": row.short,
                "paper": row.paper,
                "url": row.url,
                "threat_model": row.threat_model,
                "budget": row.budget,
                "needs": row.needs,
                "is_backdoor": row.is_backdoor,
                "variant_of": row.variant_of,
                "tags": list(row.tags),
                "version": row.version,
            },
            knobs=row.params.model_json_schema(),
        )
        for row in catalog.ATTACKS.values()
    ]


@router.get("/datasets", responses=MANY)
def datasets() -> list[CatalogueEntry]:
    """Data sets: classes, size, licence, and whether they need files."""
    return [
        CatalogueEntry(
            name=row.name,
            title=row.title,
            about={
                "classes": list(row.classes),
                "image_size": row.image_size,
                "train_images": row.train_images,
                "test_images": row.test_images,
                "setups": [s for s, of in BENCHMARK_SETUPS.items() if of == row.name],
                "licence": row.licence,
                "url": row.url,
                "folder": row.folder,
            },
        )
        for row in catalog.DATASETS.values()
    ]


@router.get("/models", responses=MANY)
def models() -> list[CatalogueEntry]:
    """Architectures."""
    return [
        CatalogueEntry(
            name=row.name,
            title=row.title,
            about={
                "paper": row.paper,
                "feature_dim": row.feature_dim,
                "forward_mflop": row.forward_mflop,
            },
        )
        for row in catalog.MODELS.values()
    ]


@router.get("/victims", responses=MANY)
def victims() -> list[CatalogueEntry]:
    """Regimes a victim can be trained in, and the schema of their knobs."""
    return [
        CatalogueEntry(
            name=row.name,
            title=row.title,
            about={"short": row.short, "what": (row.params.__doc__ or "").strip()},
            knobs=row.params.model_json_schema(),
        )
        for row in catalog.REGIMES.values()
    ]


@router.get("/training", responses=MANY)
def training() -> list[CatalogueEntry]:
    """Recipes a victim can be trained by: copy one into a victim's recipe, and vary it."""
    return [
        CatalogueEntry(name=name, title=row.title, about=row.recipe.model_dump(mode="json"))
        for name, row in victim_params.RECIPES.items()
    ]


@router.get("/recipes", responses=MANY)
def recipes() -> list[CatalogueEntry]:
    """Checkpoints that can be trained by name."""
    return [
        CatalogueEntry(name=name, title=name, about=spec.model_dump(mode="json"))
        for name, spec in RECIPES.items()
    ]
