"""What an attack says while it works, and where its state survives a killed process."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from poisoning.models.store import write_tensors

OnStep = Callable[[int, int, dict[str, float]], None]
REPORT_EVERY_S = 0.5
SAVE_EVERY_S = 60.0


class Report:
    """Called after every step of an attack; what it raises stops the attack.

    ``on_step(step, total, values)`` hears of it every half second and at the end. The attack's
    state (tensors by name, and its generators) is written to ``file`` every minute, under
    ``key``: whose state it is.
    """

    def __init__(
        self,
        on_step: OnStep | None = None,
        file: Path | None = None,
        key: str = "",
        generators: Sequence[torch.Generator] = (),
        save_every_s: float = SAVE_EVERY_S,
    ) -> None:
        self.on_step, self.file, self.key = on_step, file, key
        self.generators, self.save_every_s = generators, save_every_s
        self._said = 0.0
        self._saved = time.monotonic()

    def restore(self, **state: Tensor) -> tuple[int, list[Tensor]]:
        """Steps already done, and the state to go on from: ``state`` itself where none was saved.

        Tensors come back in the order of the arguments, on their devices.
        """
        saved = self._read()
        if saved is None or saved[1].keys() != state.keys() | self._draws().keys():
            return 0, list(state.values())
        step, tensors = saved
        for t, generator in enumerate(self.generators):
            generator.set_state(tensors[f"generator.{t}"])
        return step, [tensors[name].to(tensor.device) for name, tensor in state.items()]

    def __call__(
        self, step: int, total: int, values: Mapping[str, Tensor | float], **state: Tensor
    ) -> None:
        """Step ``step`` of ``total`` is done. ``values`` are read only when somebody listens."""
        now = time.monotonic()
        if self.on_step and (step == total or now - self._said >= REPORT_EVERY_S):
            self._said = now
            self.on_step(step, total, {name: float(value) for name, value in values.items()})
        if self.file and state and step < total and now - self._saved >= self.save_every_s:
            self._saved = now
            stored = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
            metadata = {"key": self.key, "step": str(step)}
            write_tensors(self.file, stored | self._draws(), metadata)

    def _draws(self) -> dict[str, Tensor]:
        return {f"generator.{t}": g.get_state() for t, g in enumerate(self.generators)}

    def _read(self) -> tuple[int, dict[str, Tensor]] | None:
        if self.file is None or not self.file.is_file():
            return None
        try:
            with safe_open(self.file, "pt") as opened:
                metadata = opened.metadata()
                if metadata.get("key") != self.key:
                    return None
                names = list(opened.keys())
                return int(metadata["step"]), {name: opened.get_tensor(name) for name in names}
        except (SafetensorError, OSError, KeyError, ValueError):
            return None  # a state that cannot be read is one that was not saved

    def forget(self) -> None:
        """Drop the saved state: what it was for is finished."""
        if self.file is not None:
            self.file.unlink(missing_ok=True)
