"""Features under a frozen extractor, each computed once on a machine.

With batch norm's statistics frozen, a feature depends on nothing but image, crop and flip: 162
views of an image, of which 40 epochs draw about 35.
"""

import numpy as np
import torch
from torch import Tensor

from poisoning import devices, targets
from poisoning.attacks.batch import Constants
from poisoning.cache import Cache
from poisoning.data import LoadedDataset
from poisoning.data.augment import CENTRE, OFFSETS, Views, apply_views, normalize
from poisoning.models import Network
from poisoning.models.extractor import freeze, quickened
from poisoning.ops.triggers import Trigger
from poisoning.spec import Precision
from poisoning.victims.shelf import Records, Shelf

VIEWS = OFFSETS * OFFSETS * 2
BATCH = 256
FILL = {"cpu": 64}  # of what is kept; elsewhere BATCH
LIMIT_BYTES = 2**30  # in memory
SHELVED_BYTES = 64 * 2**20  # that are put on the shelf together
MEMORY, NOWHERE = -1, -2  # in the place of a shelf's file


class FeatureTable:
    """Penultimate features of one checkpoint on one data set, shared by all trials of a job.

    Features of training images and of the test split are kept: in memory up to ``limit_bytes``,
    and, where ``checkpoint`` (its hash) is given and the cache has a folder, on disk, where other
    processes find them. What fits nowhere is computed whenever it is asked for.
    """

    def __init__(
        self,
        net: Network,
        data: LoadedDataset,
        mean: Constants,
        std: Constants,
        device: torch.device,
        precision: Precision = "exact",
        cache: Cache | None = None,
        checkpoint: str = "",
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        self.net = quickened(freeze(net, device), precision)
        self.data, self.device = data, device
        self.mean, self.std, self.precision = mean, std, precision
        self.stored = torch.empty(0, net.feature_dim)
        self.used = 0  # rows of ``stored`` that hold a feature
        self.capacity = limit_bytes // (4 * net.feature_dim)
        keys = len(data.train) * VIEWS + len(data.test)
        self.place = torch.full((keys,), NOWHERE, dtype=torch.int16)  # file of the shelf, or MEMORY
        self.row = torch.zeros(keys, dtype=torch.int32)  # in there
        self.files: list[Records] = []
        self.shelf: Shelf | None = None
        if cache is not None and cache.folder is not None and checkpoint:
            self.shelf = Shelf(cache, self._about(checkpoint), net.feature_dim)
        self._test: Tensor | None = None
        self._patched: dict[int, Tensor] = {}

    def _about(self, checkpoint: str) -> dict[str, object]:
        """All that the bits of a feature follow from."""
        return {
            "checkpoint": checkpoint,
            "data": self.data.md5,
            "constants": [list(self.mean), list(self.std)],
            "precision": devices.computes(self.device, self.precision),
            "folded": self.precision == "fast",
            "versions": devices.versions(),
            "hardware": devices.hardware(self.device),
            "batch": self._fill_size,
        }

    @property
    def _fill_size(self) -> int:
        return FILL.get(self.device.type, BATCH)

    @torch.inference_mode()
    def compute(self, images: Tensor, views: Views | None = None, size: int = BATCH) -> Tensor:
        """Features [N, D], float32, of uint8 images [N, C, H, W], on the device; ``size`` of them
        at once.
        """
        parts = []
        for start in range(0, len(images), size):
            part = slice(start, start + size)
            x = images[part].to(self.device)
            if views is not None:
                x = apply_views(x, *(drawn[part] for drawn in views))
            x = normalize(x, self.mean, self.std).contiguous(memory_format=torch.channels_last)
            with devices.autocast(self.device, self.precision):
                parts.append(self.net.features(x).float())
        return torch.cat(parts)

    def lookup(self, ids: Tensor, views: Views) -> Tensor:
        """Features [N, D] of training images ``ids`` [N] in the given views [N]."""
        keys = ids * VIEWS + views.dy * 2 * OFFSETS + views.dx * 2 + views.flip
        return self._of(keys, self.data.train.images, ids, views)

    def test(self) -> Tensor:
        """Features [N_test, D] of the whole test split, computed once."""
        if self._test is None:
            ids = torch.arange(len(self.data.test))
            keys = len(self.data.train) * VIEWS + ids
            self._test = self._of(keys, self.data.test.images, ids, CENTRE.of(len(ids)))
        return self._test

    def flush(self) -> None:
        """Put what was computed here on the shelf; in memory it stays only if that fails."""
        if self.shelf is None or not self.used:
            return
        keys = torch.where(self.place == MEMORY)[0]
        put = self.shelf.put(keys.numpy(), self.stored[self.row[keys].long()].numpy())
        if put is None:
            self.shelf = None  # not tried again
            return
        self._know(put)
        self.used = 0

    @torch.inference_mode(False)  # what is kept must stay writable, whoever asks first
    def _of(self, keys: Tensor, images: Tensor, ids: Tensor, views: Views) -> Tensor:
        """Features [N, D] under keys [N]: of images[ids] in these views."""
        features = torch.empty(len(keys), self.net.feature_dim)
        missing = self._read(keys, features)
        if len(missing) and self.shelf is not None:
            for found in self.shelf.news():
                self._know(found)
            missing = self._read(keys, features)
        if len(missing):
            drawn = Views(*(view[missing] for view in views))
            features[missing] = fresh = self._alike(images[ids[missing]], drawn)
            self._keep(keys[missing], fresh)
        return features.to(self.device)

    def _alike(self, images: Tensor, views: Views) -> Tensor:
        """As ``compute``, on the CPU, in batches of one size, the last one filled up: in others an
        image may get other last bits, and what is kept must not depend on what was missing.
        """
        size = self._fill_size
        filled = torch.arange(len(images) + -len(images) % size) % len(images)
        drawn = Views(*(view[filled] for view in views))
        return self.compute(images[filled], drawn, size)[: len(images)].cpu()

    def _read(self, keys: Tensor, features: Tensor) -> Tensor:
        """Fill in what is known of the features [N, D] under keys [N]; the places of the rest."""
        places, rows = self.place[keys], self.row[keys].long()
        for place in places.unique().tolist():
            here = torch.where(places == place)[0]
            if place == MEMORY:
                features[here] = self.stored[rows[here]]
            elif place != NOWHERE:
                found = self.files[place]["feature"][rows[here].numpy()]
                features[here] = torch.from_numpy(np.ascontiguousarray(found))
        return torch.where(places == NOWHERE)[0]

    def _know(self, records: Records) -> None:
        """Take a file of the shelf up."""
        keys = torch.from_numpy(records["key"].astype(np.int64))
        self.place[keys] = len(self.files)
        self.row[keys] = torch.arange(len(keys), dtype=torch.int32)
        self.files.append(records)

    def _keep(self, keys: Tensor, fresh: Tensor) -> None:
        room = min(len(keys), self.capacity - self.used)
        if self.used + room > len(self.stored):
            grown = min(self.capacity, max(2 * len(self.stored), self.used + room))
            enlarged = torch.empty(grown, fresh.shape[1])
            enlarged[: self.used] = self.stored[: self.used]
            self.stored = enlarged
        self.stored[self.used : self.used + room] = fresh[:room]
        self.place[keys[:room]] = MEMORY
        self.row[keys[:room]] = torch.arange(self.used, self.used + room, dtype=torch.int32)
        self.used += room
        if self.used * 4 * fresh.shape[1] >= SHELVED_BYTES:
            self.flush()

    def patched(self, label: int, trigger: Trigger) -> Tensor:
        """Features [N, D] of the test images of a class with the job's one trigger on, computed
        once for each class.
        """
        if label not in self._patched:
            images = targets.patched(self.data.test, label, trigger)
            self._patched[label] = self.compute(images)
        return self._patched[label]
