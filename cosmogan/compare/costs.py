"""What a field costs, N-body against emulation, always with the way of counting beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cosmogan.statistics.table import StatisticsTable

Timings = Mapping[str, Mapping[str, float]]

SIMULATING = ("simulate",)
EMULATING = ("emulated", "emulate")


@dataclass(frozen=True)
class Cost:
    """CPU time of one thing, made both ways [s]."""

    counting: str
    simulated: float
    emulated: float

    @property
    def factor(self) -> float:
        """How many times cheaper the emulator is."""
        return self.simulated / self.emulated


def costs(
    timings: Timings, simulated: Sequence[StatisticsTable], emulated: StatisticsTable
) -> list[Cost]:
    """Count the cost of a field in both ways that are honest.

    Parameters
    ----------
    timings : mapping of str to mapping
        CPU seconds ("cpu") of each stage.
    simulated : sequence of StatisticsTable
        All simulations that the stage "simulate" made.
    emulated : StatisticsTable
        What the stage "emulated" (or "emulate") made.

    Returns
    -------
    list of Cost
        Per field, every slice of a box counted; and per independent realisation, where a box counts
        once, simulated or emulated. Empty if a time is missing.
    """
    truth, network = (_cpu(timings, names) for names in (SIMULATING, EMULATING))
    fields = sum(len(table) for table in simulated)
    boxes = sum(_independent(table) for table in simulated)
    if not (truth and network and fields and len(emulated)):
        return []
    return [
        Cost("per field, every slice of a box counted", truth / fields, network / len(emulated)),
        Cost(
            "per independent realisation: a box counts once, however many slices it gives",
            truth / boxes,
            network / _independent(emulated),
        ),
    ]


def _cpu(timings: Timings, names: Sequence[str]) -> float:
    return next((timings[n]["cpu"] for n in names if timings.get(n, {}).get("cpu", 0) > 0), 0.0)


def _independent(table: StatisticsTable) -> int:
    return len(set(table.simulation.tolist()))
