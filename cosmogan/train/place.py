"""Where a worker stands: its rank among the others, its device, its memory, and whom it tells."""

import ctypes
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from cosmogan.errors import CosmoganError, ResourceError, TrainingError
from cosmogan.train.reading import Reading, Referee
from cosmogan.train.watch import in_words

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


class Observer(Protocol):
    """What rank 0 tells about the training; both calls must be quick."""

    def line(self, line: dict[str, Any]) -> None:
        """Take a line of the log."""

    def reading(self, reading: Reading, fields: NDArray[np.float32], referee: Referee) -> None:
        """Take a reading and the fields it was made from."""


@dataclass
class Place:
    """Where this process stands among the workers.

    Attributes
    ----------
    rank, world : int
        Number of this worker, and of all.
    device : str
        ``cpu`` or ``cuda:i``.
    stopped : callable
        Whether somebody asked this worker to stop; then all do.
    observers : sequence of Observer
        Told by rank 0.
    rounded : bool
        Whether wide convolutions round to bfloat16 here while networks learn; `rounds` knows.
    """

    rank: int = 0
    world: int = 1
    device: str = "cpu"
    stopped: Callable[[], bool] = lambda: False
    observers: Sequence[Observer] = field(default_factory=tuple)
    rounded: bool = False

    @property
    def first(self) -> bool:
        """Whether this worker reads, writes and tells for all."""
        return self.rank == 0

    @property
    def precision(self) -> str:
        """In what wide convolutions compute while networks learn."""
        return "bfloat16" if self.rounded else "float32"

    def reduce(self, vector: Tensor) -> Tensor:
        """Average a vector over all workers, in place."""
        if self.world > 1:
            dist.all_reduce(vector)
            vector /= self.world
        return vector

    def anywhere(self, here: bool) -> bool:
        """Return whether something is so on any worker: one answer for all."""
        if self.world == 1:
            return here
        return bool(self.reduce(torch.tensor(float(here), device=self.device)) > 0)

    def should_stop(self) -> bool:
        """Return one decision for all workers."""
        return self.anywhere(self.stopped())

    def gather(self, mine: Result) -> list[Result]:
        """Return what each worker has, small enough for a message."""
        everyone = [mine] * self.world
        if self.world > 1:
            dist.all_gather_object(everyone, mine)
        return everyone

    def require_equal(
        self, networks: Sequence[nn.Module | None], shown: int, folder: object
    ) -> None:
        """Raise `TrainingError` on every worker if their clocks or networks differ."""
        sums = [p.detach().double().sum() for n in networks if n for p in n.parameters()]
        mine = torch.stack([*sums, sums[0].new_tensor(shown)])
        mean = self.reduce(mine.clone())
        if self.anywhere(not torch.allclose(mine, mean, rtol=1e-12, atol=1e-12, equal_nan=True)):
            raise TrainingError(
                f"{folder}: the workers' networks differ; give the same command again, and "
                "look whether all workers see the same folder"
            )

    def together(self, act: Callable[[], Result]) -> Result:
        """Do what may fail on one worker alone; then all raise, and none waits for the others.

        Raises
        ------
        CosmoganError
            What `act` raised on the first worker on which it failed.
        """
        failure: CosmoganError | None = None
        try:
            result = act()
        except CosmoganError as error:
            failure = error
        if not self.anywhere(failure is not None):
            return result
        raise next(found for found in self.gather(failure) if found is not None)


class LogFile:
    """An observer that writes ``log.jsonl``.

    A run that goes on from a checkpoint makes anew what came after it: those lines are dropped.

    Parameters
    ----------
    folder : Path
        Of the run.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "log.jsonl"
        self._begun = False

    def line(self, line: dict[str, Any]) -> None:
        """Append a line."""
        if not self._begun:
            self._drop(int(line["images"]))
            self._begun = True
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def reading(self, reading: Reading, fields: NDArray[np.float32], referee: Referee) -> None:
        """Do nothing: the reading also comes as a line."""

    def _drop(self, images: int) -> None:
        """Keep the whole lines from before `images` fields."""
        if not self.path.exists():
            return
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [text for text in lines if text.endswith("\n") and _images(text) < images]
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text("".join(kept), encoding="utf-8")
        temporary.replace(self.path)


class Caller:
    """An observer that warns of alarms at once, where nobody follows the log."""

    def line(self, line: dict[str, Any]) -> None:
        """Warn if it is an alarm."""
        if line["event"] == "alarm":
            _log.warning("train: %s", in_words(line))

    def reading(self, reading: Reading, fields: NDArray[np.float32], referee: Referee) -> None:
        """Do nothing: what rings also comes as a line."""


def _images(text: str) -> float:
    try:
        return int(json.loads(text)["images"])
    except (ValueError, KeyError, TypeError):
        return np.inf


def device_of(wish: str, local_rank: int = 0) -> str:
    """Return the device for a wish ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    ResourceError
        If a GPU is wished for and there is none.
    """
    if wish == "cuda" and not torch.cuda.is_available():
        raise ResourceError("train.device = 'cuda': PyTorch finds no GPU here; use 'auto' or 'cpu'")
    if wish == "cpu" or not torch.cuda.is_available():
        return "cpu"
    return f"cuda:{local_rank % torch.cuda.device_count()}"  # a task may see its own alone


def rounds(wish: str, place: Place) -> bool:
    """Return whether convolutions are to round to bfloat16, for a wish ``auto``, ``bfloat16`` or ``float32``.

    All workers get one answer: a processor without it decides for all.

    Raises
    ------
    ResourceError
        If bfloat16 is wished for and a processor multiplies no such numbers.
    """
    if wish == "float32":
        return False
    lacking = place.anywhere(not has_bfloat16(place.device))
    if wish == "bfloat16" and lacking:
        raise ResourceError(
            "train.precision = 'bfloat16': not every worker's processor has it; use 'auto' or 'float32'"
        )
    return not lacking


def has_bfloat16(device: str) -> bool:
    """Return whether a device has products of bfloat16 numbers: AVX512-BF16, AMX, or a GPU from Ampere on."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_capability(device) >= (8, 0)
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def keep_memory() -> None:
    """Let glibc keep freed memory: returning it has cost trainings on a CPU up to half their speed."""
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    trim, top_pad, mmap = -1, -2, -3
    # Older versions refuse more than 32 MiB, and a refusal would leave the default of 128 KiB
    # fixed, since setting any threshold ends their own adjustment.
    if not mallopt(mmap, 1 << 30):
        mallopt(mmap, 1 << 25)
    mallopt(trim, (1 << 31) - 1)
    mallopt(top_pad, 1 << 26)
