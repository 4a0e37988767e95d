"""Studies: launched by name, as the experiments that regenerate one table or figure."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.errors import Invalid
from app.models import Study
from app.requests import LaunchRequest
from app.services import experiments, idempotency
from app.settings import Settings
from poisoning import catalog
from poisoning.spec import Profile
from poisoning.studies import STUDIES
from poisoning.studies import Study as KnownStudy


def find(name: str, profile: Profile) -> KnownStudy:
    """The study of that name; Invalid where there is none, or none of that size."""
    if name not in STUDIES:
        error = catalog.UnknownName("study", name, STUDIES)
        raise Invalid.field("name", str(error), f"one of: {', '.join(STUDIES)}")
    study = STUDIES[name]
    if profile not in study.profiles:
        raise Invalid.field(
            "profile",
            f"{study.title} has no profile {profile!r}",
            f"one of: {', '.join(study.profiles)}",
        )
    return study


def launch(
    session: Session, settings: Settings, name: str, profile: Profile, now: datetime
) -> Study:
    """Write a study and all of its experiments down, or nothing of it."""
    study = find(name, profile)
    row = Study(name=name, title=study.title, profile=profile, created_at=now)
    session.add(row)
    session.flush()
    for title, spec in study.experiments(profile):
        request = LaunchRequest(spec=spec, title=title)
        experiments.launch(session, settings, request, now, study_id=row.id)
    return row


def launch_once(
    session: Session,
    settings: Settings,
    name: str,
    profile: Profile,
    now: datetime,
    caller: str,
    key: str | None,
) -> Study:
    """``launch``, but a repeated key with the same request gives the same study."""
    if key is None:
        return launch(session, settings, name, profile, now)
    row = idempotency.reserve(session, caller, key, ["studies", name, profile], now)
    if row.study_id is not None:
        return session.get_one(Study, row.study_id)
    study = launch(session, settings, name, profile, now)
    row.study_id = study.id
    return study
