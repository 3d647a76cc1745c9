"""The page: one self-contained HTML file that says how far emulated fields may be trusted."""

import contextlib
import math
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmogan.compare import words
from cosmogan.compare.atlas import atlas_figure
from cosmogan.compare.coherence import coherence_figure
from cosmogan.compare.costs import Cost, Timings, costs
from cosmogan.compare.curves import Line, kept, knows_by_heart, raised, training_figure
from cosmogan.compare.figures import (
    EXTREMA,
    MINKOWSKI,
    ONE_POINT,
    THREE_POINT,
    TWO_POINT,
    Exhibit,
    Theory,
    statistics_figure,
)
from cosmogan.compare.findings import (
    BEATS,
    CANNOT_TELL,
    DOES_NOT_BEAT,
    FAIL,
    PASS,
    Result,
    Verdict,
    conclude,
    write_findings,
    write_verdict,
)
from cosmogan.compare.gallery import Fields, gallery
from cosmogan.compare.matrices import matrices_figure
from cosmogan.compare.nearness import nearness_figure
from cosmogan.compare.pairs import Pairs
from cosmogan.compare.rules import Rules
from cosmogan.compare.samples import Samples
from cosmogan.compare.universes import EMULATED, Universes
from cosmogan.compare.verdict import ANOTHER_DRAW, judge
from cosmogan.fields.files import whole_file
from cosmogan.fields.layout import provenance
from cosmogan.statistics.table import StatisticsTable

if TYPE_CHECKING:
    from jinja2 import Environment

TRUTH = "truth"
"""Key of the held-out fields among `Setting.fields`."""
REPORT, VERDICT = "report.html", "verdict.json"
ORDER = (
    *("mean_density", *TWO_POINT, *THREE_POINT, *ONE_POINT, "pdf_tail"),
    *(*EXTREMA, "peaks_tail", *MINKOWSKI),
)
_PACKAGES = ("numpy", "scipy", "numba", "h5py", "camb", "torch", "ray", "dask")
_BADGES = {
    PASS: ("pass", "✓"),
    FAIL: ("fail", "✗"),
    CANNOT_TELL: ("unsure", "?"),
    BEATS: ("pass", "✓"),
    DOES_NOT_BEAT: ("fail", "✗"),
    "told apart": ("fail", "✗"),
    "not told apart": ("pass", "✓"),
    "new": ("pass", "✓"),
    "copies": ("fail", "✗"),
}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What stands on the page beside the verdict; each part may be missing.

    Attributes
    ----------
    title : str
        Name of the run.
    fields : mapping of str to Fields
        Data sets for the pictures, under the names of the candidates, and `TRUTH`.
    theory : mapping of str to (k, P)
        Power spectra to draw beside the measured ones [h/Mpc, unit of P].
    samples : Samples, optional
        What a look at the fields of the candidate found.
    pairs : Pairs, optional
        What fields from the initial conditions of the truth show.
    log : sequence of mapping
        Lines of the training log.
    timings : mapping of str to mapping
        Seconds of each stage, as "wall" and "cpu".
    made_by : mapping of str to str
        What made it: command, commit, time, hardware; "recipe" is shown as text.
    """

    title: str = ""
    fields: Mapping[str, Fields] = field(default_factory=dict)
    theory: Theory = field(default_factory=dict)
    samples: Samples | None = None
    pairs: Pairs | None = None
    log: Sequence[Line] = ()
    timings: Timings = field(default_factory=dict)
    made_by: Mapping[str, str] = field(default_factory=dict)

    @property
    def course(self) -> dict[str, Any]:
        """The reading whose weights are judged, and the alarms of the training."""
        return {"reading": kept(self.log), "alarms": raised(self.log)}

    @property
    def alarms(self) -> list[str]:
        """What is wrong with the fields, or their training, that no bin shows."""
        found = self.samples.alarms if self.samples else []
        return [*found, "memory"] if knows_by_heart(self.log) else found


def write_report(
    out: str | Path,
    candidates: Mapping[str, StatisticsTable],
    truth: StatisticsTable,
    *,
    training: StatisticsTable | None = None,
    validation: StatisticsTable | None = None,
    rules: Rules | None = None,
    setting: Setting | None = None,
) -> Verdict:
    """Judge candidates and write ``report.html`` and ``verdict.json``.

    Parameters
    ----------
    out : path
        Folder of the two files; made if it does not exist. Each appears whole or not at all, the
        report last.
    candidates : mapping of str to StatisticsTable
        By name, the one the verdict is about first: "emulated", "untrained", "lognormal".
    truth : StatisticsTable
        Held-out simulations.
    training, validation : StatisticsTable, optional
        The other simulations: floors and nulls are drawn from all, and the training set is judged
        beside the candidates as another draw.
    rules : Rules, optional
        Tolerances and what is judged.
    setting : Setting, optional
        What else the page shows.

    Raises
    ------
    LayoutError, SplitError, RecipeError
        As `cosmogan.compare.verdict.judge`.
    """
    setting = setting or Setting()
    known = list(candidates)[:1] if setting.pairs else []
    verdict = judge(
        candidates, truth, training=training, validation=validation, rules=rules, conditional=known
    )
    simulated = [table for table in (training, validation, truth) if table is not None]
    tables = dict(candidates) if training is None else {**candidates, ANOTHER_DRAW: training}
    spent = costs(setting.timings, simulated, candidates[verdict.subject])
    exhibit = Exhibit(truth=truth, tables=tables, verdict=verdict, theory=setting.theory)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    made_by = {**_made_by(truth), **setting.made_by}
    sentences = [
        words.headline(verdict, setting.alarms),
        words.together(verdict),
        words.lesson(verdict),
        words.on_places(candidates[verdict.subject]),
    ]
    sentences += [sentence for _, sentence in words.on_samples(setting.samples)]
    sentences += [sentence for _, sentence in words.on_pairs(setting.pairs)]
    sentences.append(words.on_memory(setting.alarms))
    more = {
        "outcome": conclude(verdict.about, setting.alarms),
        "outcome_of_bins": verdict.about.outcome,
        "alarms": setting.alarms,
        "course": setting.course,
        "sentences": [sentence for sentence in sentences if sentence],
        "samples": setting.samples.summary() if setting.samples else None,
        "pairs": setting.pairs.summary() if setting.pairs else None,
        "timings": setting.timings,
        "costs": [{**vars(cost), "factor": cost.factor} for cost in spent],
        "made_by": made_by,
    }
    write_verdict(folder / VERDICT, verdict, more)
    _write(folder / REPORT, _render(exhibit, setting, spent, made_by))
    return verdict


def _render(
    exhibit: Exhibit, setting: Setting, spent: Sequence[Cost], made_by: Mapping[str, str]
) -> str:
    verdict = exhibit.verdict
    return (
        _environment()
        .get_template("page.html")
        .render(
            verdict=verdict,
            about=verdict.about,
            title=setting.title,
            headline=words.headline(verdict, setting.alarms),
            together=words.together(verdict),
            undecided=words.undecided(verdict),
            lesson=words.lesson(verdict),
            far=words.on_places(exhibit.tables[verdict.subject]),
            memory=words.on_memory(setting.alarms),
            rows=[name for name in ORDER if name in verdict.about.results]
            + [name for name in verdict.about.results if name not in ORDER],
            layout=exhibit.truth.attributes,
            pictures=_pictures(setting, verdict),
            samples=setting.samples,
            on_samples=words.on_samples(setting.samples),
            nearness=_nearness(setting.samples, verdict.subject),
            pairs=setting.pairs,
            on_pairs=words.on_pairs(setting.pairs),
            coherence=_coherence(setting.pairs, verdict),
            narrowing=_narrowing,
            two_point=statistics_figure(exhibit, TWO_POINT),
            three_point=statistics_figure(exhibit, THREE_POINT),
            one_point=statistics_figure(exhibit, ONE_POINT),
            matrices=matrices_figure(verdict),
            extrema=statistics_figure(exhibit, EXTREMA),
            minkowski=statistics_figure(exhibit, MINKOWSKI),
            training=training_figure(setting.log),
            alarms=raised(setting.log),
            timings=setting.timings,
            costs=spent,
            recipe=made_by.get("recipe", ""),
            made_by={key: value for key, value in made_by.items() if key != "recipe" and value},
            place=words.place,
            another_draw=ANOTHER_DRAW,
        )
    )


def write_atlas(
    out: str | Path, universes: Universes, truth: StatisticsTable, setting: Setting
) -> None:
    """Write ``report.html`` and ``verdict.json`` about many universes.

    Parameters
    ----------
    out : path
        Folder of the two files; made if it does not exist. Each appears whole or not at all, the
        report last.
    universes : Universes
        What was found.
    truth : StatisticsTable
        Held-out simulations.
    setting : Setting
        What else the page shows: log, timings, what made it.
    """
    folder, made_by = Path(out), {**_made_by(truth), **setting.made_by}
    folder.mkdir(parents=True, exist_ok=True)
    sentences, looked = words.on_universes(universes), words.on_samples(setting.samples)
    memory = words.on_memory(setting.alarms)
    looked += [("fail", memory)] if memory else []
    more = {
        "alarms": setting.alarms,
        "course": setting.course,
        "sentences": [*sentences, *(sentence for _, sentence in looked)],
        "samples": setting.samples.summary() if setting.samples else None,
        "timings": setting.timings,
        "made_by": made_by,
    }
    write_findings(folder / VERDICT, universes.summary() | more)
    page = (
        _environment()
        .get_template("universes.html")
        .render(
            universes=universes,
            name=EMULATED,
            title=setting.title,
            headline=sentences[0],
            sentences=sentences,
            samples=setting.samples,
            on_samples=looked,
            nearness=_nearness(setting.samples, EMULATED),
            atlas=atlas_figure(universes),
            rows=[_summary_row(universes, name) for name in universes.statistics],
            training=training_figure(setting.log),
            alarms=raised(setting.log),
            timings=setting.timings,
            recipe=made_by.get("recipe", ""),
            made_by={key: value for key, value in made_by.items() if key != "recipe" and value},
        )
    )
    _write(folder / REPORT, page)


def _summary_row(universes: Universes, name: str) -> dict[str, Any]:
    worst, bare = universes.worst(name), universes.theory_errors(name)
    return {
        "name": name,
        "universes": len(universes.having(name)),
        "tolerance": worst.score(name).highest,
        "passed": universes.count(name, PASS),
        "unsure": universes.count(name, CANNOT_TELL),
        "failed": universes.count(name, FAIL),
        "all_bins": universes.count_bins(name),
        "median": float(np.median(universes.errors(name))),
        "worst": worst.results[name].error.value,
        "where": words.name_universe(worst),
        "theory": (float(np.median(bare)), float(bare.max())) if bare.size else (),
    }


def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "percent": words.percent,
        "ratio": words.ratio,
        "small": words.small,
        "seconds": words.seconds,
        "chance": words.chance,
        "named": words.name_of,
        "rival": words.rival,
    }
    environment.filters.update(filters)
    environment.globals.update(
        badges=_BADGES, counts=_counts, interval=words.interval, percent_of=words.percent
    )
    return environment


def _nearness(samples: Samples | None, subject: str) -> str:
    if samples is None or samples.novelty is None:
        return ""
    return nearness_figure(samples.novelty, subject)


def _coherence(pairs: Pairs | None, verdict: Verdict) -> str:
    if pairs is None or pairs.phases is None:
        return ""
    return coherence_figure(
        pairs, pairs.phases, verdict.subject, verdict.rules.tolerance.get("power", 0.0)
    )


def _narrowing(paired: Result, single: Result) -> float:
    """Return the width of the intervals of pairs over that of the same bins without, median."""
    widths = (
        (p.high - p.low) / (s.high - s.low)
        for p, s in zip(paired.bins, single.bins, strict=True)
        if 0 < s.high - s.low < math.inf
    )
    return statistics.median([w for w in widths if math.isfinite(w)] or [math.nan])


def _pictures(setting: Setting, verdict: Verdict) -> str:
    named = {name: setting.fields[name] for name in verdict.candidates if name in setting.fields}
    if TRUTH not in setting.fields or verdict.subject not in named:
        return ""
    return gallery({TRUTH: setting.fields[TRUTH], **named}, truth=TRUTH, subject=verdict.subject)


def _counts(of: Any) -> str:  # noqa: ANN401  (anything that counts outcomes)
    """Return how many bins have which outcome, in words."""
    found = [(of.count(outcome), outcome) for outcome in (PASS, FAIL, CANNOT_TELL)]
    return ", ".join(f"{count} {outcome}" for count, outcome in found if count)


def _made_by(truth: StatisticsTable) -> dict[str, str]:
    """Return what can be said without being told: versions, commit, time, the truth's recipe."""
    here = provenance("cosmogan compare")
    versions = [f"cosmogan {here.version}"]
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions.append(f"{package} {metadata.version(package)}")
    versions.append(
        f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    )
    return {
        "versions": ", ".join(versions),
        "commit": here.commit,
        "time": here.time,
        "recipe": str(truth.made_by.get("recipe", "")),
    }


def _write(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
