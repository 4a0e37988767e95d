"""Studies: experiments that together regenerate one table or figure. One file each. No torch."""

from poisoning.studies import (
    architecture,
    baselines,
    benchmark_cifar10_from_scratch,
    benchmark_cifar10_transfer,
    benchmark_tinyimagenet_from_scratch,
    benchmark_tinyimagenet_transfer,
    black_box,
    dataset_size,
    demonstration,
    flips_and_shifts,
    patch_size,
    perceptibility,
    report,
    sgd_and_augmentation,
)
from poisoning.studies.study import Experiments, Line, Place, Study

__all__ = ["STUDIES", "Experiments", "Line", "Place", "Study"]

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        demonstration.STUDY,
        baselines.STUDY,
        sgd_and_augmentation.STUDY,
        architecture.STUDY,
        black_box.STUDY,
        flips_and_shifts.STUDY,
        patch_size.STUDY,
        dataset_size.STUDY,
        perceptibility.STUDY,
        report.STUDY,
        benchmark_cifar10_transfer.STUDY,
        benchmark_cifar10_from_scratch.STUDY,
        benchmark_tinyimagenet_transfer.STUDY,
        benchmark_tinyimagenet_from_scratch.STUDY,
    )
}
