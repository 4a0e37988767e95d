"""What only a look at its checkpoints can tell of a spec, refused before anything is launched."""

from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import FieldProblem, Invalid
from app.models import Checkpoint
from poisoning import catalog
from poisoning.recipes import RECIPES
from poisoning.spec import SAMPLED, ExperimentSpec, checkpoint_of

TrainedOn = dict[str, catalog.Dataset]  # checkpoint -> data set; without what nobody knows


def check(session: Session, spec: ExperimentSpec) -> None:
    """Invalid, field by field: images of another size, a surrogate that does not know the
    victim's classes though the attack needs it to, a last layer that is not of these classes.
    """
    trained_on = _trained_on(session, spec)
    problems = [
        *_other_images(spec, trained_on),
        *_no_classifiers(spec, trained_on),
        *_other_last_layers(spec, trained_on),
    ]
    if problems:
        raise Invalid(problems)


def _trained_on(session: Session, spec: ExperimentSpec) -> TrainedOn:
    names = {name for _, name in spec.checkpoint_names()}
    found = {name: RECIPES[name].dataset for name in names & RECIPES.keys()}
    known = select(Checkpoint.name, Checkpoint.dataset).where(Checkpoint.name.in_(names))
    found |= {name: dataset for name, dataset in session.execute(known)}
    return {
        name: catalog.DATASETS[dataset]
        for name, dataset in found.items()
        if dataset in catalog.DATASETS
    }


def _other_images(spec: ExperimentSpec, trained_on: TrainedOn) -> Iterator[FieldProblem]:
    wanted = catalog.dataset(spec.data.dataset)
    for field, name in spec.checkpoint_names():
        if name in trained_on and trained_on[name].image_size != wanted.image_size:
            yield FieldProblem(
                field=field,
                message=f"{name} was trained on images of {trained_on[name].image_size} px, "
                f"{wanted.title} has {wanted.image_size} px",
                remedy="name a checkpoint trained on images of that size",
            )


def _no_classifiers(spec: ExperimentSpec, trained_on: TrainedOn) -> Iterator[FieldProblem]:
    attack, wanted = catalog.attack(spec.attack.name), catalog.dataset(spec.data.dataset)
    if attack.needs != "classifier":
        return
    crafted_on = ("surrogates.", "sampled_from.") if SAMPLED in spec.surrogates else "surrogates."
    for field, name in spec.checkpoint_names():
        if not field.startswith(crafted_on) or name not in trained_on:
            continue
        if trained_on[name].classes != wanted.classes:
            yield FieldProblem(
                field=field,
                message=f"{attack.title} needs a classifier of {wanted.title}; {name} was trained "
                f"on {trained_on[name].title}",
                remedy=f"name a checkpoint trained on {wanted.title}",
            )


def _other_last_layers(spec: ExperimentSpec, trained_on: TrainedOn) -> Iterator[FieldProblem]:
    wanted = catalog.dataset(spec.data.dataset)
    for number, victim in enumerate(spec.victims):
        name = checkpoint_of(victim)
        if name is None or not getattr(victim, "keeps_linear", False):
            continue
        for start in spec.sampled_from if name == SAMPLED else (name,):
            if start in trained_on and trained_on[start].classes != wanted.classes:
                yield FieldProblem(
                    field=f"victims.{number}.keeps_linear",
                    message=f"{start} tells the classes of {trained_on[start].title} apart, not "
                    f"those of {wanted.title}",
                    remedy="leave it off, or start from a checkpoint with the same classes",
                )
                break
