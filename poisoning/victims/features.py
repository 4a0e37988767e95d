"""Features under a frozen extractor, each computed once.

With batch norm's statistics frozen, a feature depends on nothing but image, crop and flip: 162
views of an image, of which 40 epochs draw about 35.
"""

import torch
from torch import Tensor

from poisoning import devices, targets
from poisoning.attacks.batch import Constants, freeze
from poisoning.data import LoadedDataset
from poisoning.data.augment import OFFSETS, Views, apply_views, normalize
from poisoning.models import Network
from poisoning.ops.triggers import Trigger
from poisoning.spec import Precision

VIEWS = OFFSETS * OFFSETS * 2
BATCH = 256
LIMIT_BYTES = 2**30


class FeatureTable:
    """Penultimate features of one checkpoint on one data set, shared by all trials of a job.

    Features of training images are kept, up to ``limit_bytes``; those that no longer fit are
    computed whenever they are asked for.
    """

    def __init__(
        self,
        net: Network,
        data: LoadedDataset,
        mean: Constants,
        std: Constants,
        device: torch.device,
        precision: Precision = "exact",
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        self.net, self.data, self.device = freeze(net, device), data, device
        self.mean, self.std, self.precision = mean, std, precision
        self.stored = torch.empty(0, net.feature_dim)
        self.used = 0  # rows of ``stored`` that hold a feature
        self.capacity = limit_bytes // (4 * net.feature_dim)
        self.row = torch.full((len(data.train) * VIEWS,), -1, dtype=torch.int32)
        self._test: Tensor | None = None
        self._patched: dict[int, Tensor] = {}

    @torch.inference_mode()
    def compute(self, images: Tensor, views: Views | None = None) -> Tensor:
        """Features [N, D], float32, of uint8 images [N, C, H, W], on the device."""
        parts = []
        for start in range(0, len(images), BATCH):
            part = slice(start, start + BATCH)
            x = images[part].to(self.device)
            if views is not None:
                x = apply_views(x, *(drawn[part] for drawn in views))
            x = normalize(x, self.mean, self.std).contiguous(memory_format=torch.channels_last)
            with devices.autocast(self.device, self.precision):
                parts.append(self.net.features(x).float())
        return torch.cat(parts)

    def lookup(self, ids: Tensor, views: Views) -> Tensor:
        """Features [N, D] of training images ``ids`` [N] (each once) in the given views [N]."""
        key = ids * VIEWS + views.dy * 2 * OFFSETS + views.dx * 2 + views.flip
        rows = self.row[key].long()
        missing = torch.where(rows < 0)[0]
        features = torch.empty(len(ids), self.stored.shape[1], device=self.device)
        known = torch.where(rows >= 0)[0]
        features[known.to(self.device)] = self.stored[rows[known]].to(self.device)
        if len(missing):
            images = self.data.train.images[ids[missing]]
            fresh = self.compute(images, Views(*(drawn[missing] for drawn in views)))
            features[missing.to(self.device)] = fresh
            self._keep(key[missing], fresh.cpu())
        return features

    def _keep(self, keys: Tensor, fresh: Tensor) -> None:
        room = min(len(keys), self.capacity - self.used)
        if self.used + room > len(self.stored):
            grown = min(self.capacity, max(2 * len(self.stored), self.used + room))
            enlarged = torch.empty(grown, fresh.shape[1])
            enlarged[: self.used] = self.stored[: self.used]
            self.stored = enlarged
        self.stored[self.used : self.used + room] = fresh[:room]
        rows = torch.arange(self.used, self.used + room, dtype=torch.int32)
        self.row[keys[:room]] = rows
        self.used += room

    def patched(self, label: int, trigger: Trigger) -> Tensor:
        """Features [N, D] of the test images of a class with the job's one trigger on, computed
        once for each class.
        """
        if label not in self._patched:
            images = targets.patched(self.data.test, label, trigger)
            self._patched[label] = self.compute(images)
        return self._patched[label]

    def test(self) -> Tensor:
        """Features [N_test, D] of the whole test split, computed once."""
        if self._test is None:
            self._test = self.compute(self.data.test.images)
        return self._test
