"""Adopting weights that were trained elsewhere: read, made to fit, judged here, stored as ours."""

import time
from collections.abc import Callable
from pathlib import Path

from poisoning import catalog, data, devices, renames
from poisoning.card import Card
from poisoning.events import AdoptJob, CheckpointDone, Log, Message, Progress
from poisoning.models import Network, build, foreign, store
from poisoning.models.evaluate import clean_accuracy
from poisoning.spec import AdoptSpec, FieldError

Emit = Callable[[Message], None]


def run(job: AdoptJob, emit: Emit) -> None:
    """Write ``<work_dir>/<name>.safetensors`` and its card, with the clean accuracy measured on
    images normalised by the catalogue's constants.

    Raises CheckpointError, DataError, or FieldError for weights that are there already.
    """
    started, spec = time.monotonic(), job.spec
    emit(_progress(0, f"reading {spec.filename}"))
    row = catalog.dataset(spec.dataset)
    tensors = foreign.read_tensors(Path(job.source), spec.filename)
    net = build(spec.model, len(row.classes), row.image_size, seed=0).eval()
    naming = foreign.fit(net, tensors, spec.filename, spec.naming, spec.renames)
    emit(Log(message=f"{spec.filename}: {len(tensors)} tensors, called as in {naming}"))
    emit(_progress(1, f"clean accuracy on {row.title}"))
    images = _images(spec, job.machine.data_dir)
    net = net.to(devices.pick(job.machine.device))
    path = Path(job.machine.work_dir) / f"{job.name}.safetensors"
    # the data set is part of the file, and so of its hash: each has a card of its own
    card = store.save(
        path, net, _card(job, net, images, naming), metadata={"dataset": spec.dataset}
    )
    if card.sha256 in job.there:
        twin = job.there[card.sha256]
        raise FieldError("file", f"the same weights are here already, as {twin!r}", "use that one")
    emit(_progress(2, ""))
    emit(CheckpointDone.of(card, path, time.monotonic() - started))


def _images(spec: AdoptSpec, data_dir: str) -> data.LoadedDataset:
    try:
        return data.load(spec.dataset, data_dir)
    except data.DataError as error:
        raise type(error)(error.message, error.remedy, "dataset") from None


def _card(job: AdoptJob, net: Network, images: data.LoadedDataset, naming: str) -> Card:
    row = images.spec
    return Card(
        name=job.name,
        model=job.spec.model,
        num_classes=len(row.classes),
        image_size=row.image_size,
        dataset=row.name,
        dataset_md5=images.md5,
        mean=row.mean,
        std=row.std,
        clean_accuracy=clean_accuracy(net, images.test, row.mean, row.std, job.spec.precision),
        test_images=len(images.test),
        source=renames.source(job.spec.filename, naming, len(job.spec.renames)),
    )


def _progress(done: int, detail: str) -> Progress:
    return Progress(stage="load", done=done, total=2, unit="steps", detail=detail)
