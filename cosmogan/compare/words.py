"""The verdict in words, and numbers as people read them."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cosmogan.compare.findings import (
    BEATS,
    CANNOT_TELL,
    DOES_NOT_BEAT,
    FAIL,
    PASS,
    Candidate,
    Largest,
    Verdict,
    conclude,
)
from cosmogan.compare.floor import Measured
from cosmogan.statistics.table import StatisticsTable

if TYPE_CHECKING:
    from cosmogan.compare.diversity import Diversity
    from cosmogan.compare.novelty import Novelty
    from cosmogan.compare.pairs import Pairs
    from cosmogan.compare.phases import Curve
    from cosmogan.compare.placements import Classified
    from cosmogan.compare.samples import Samples
    from cosmogan.compare.universes import Universe, Universes

NAMES = {
    "mean_density": "mean density",
    "power": "power spectrum",
    "scatter": "scatter of ln P",
    "bispectrum": "equilateral bispectrum",
    "reduced_bispectrum": "reduced bispectrum",
    "squeezed_bispectrum": "squeezed bispectrum",
    "quadrupole": "squared quadrupole of P",
    "pdf": "density PDF",
    "pdf_smoothed": "smoothed density PDF",
    "pdf_tail": "densest cells",
    "peaks_tail": "highest peaks",
    "minkowski_1": "Minkowski functional V1",
    "minkowski_2": "Minkowski functional V2",
    "minkowski_3": "Minkowski functional V3",
}
"""Statistics, in words."""
_ALARMS = {
    "novelty": "they resemble training fields, or each other, more than chance allows",
    "diversity": "they are not as diverse as simulations",
    "memory": "the networks know training simulations better than others, and may repeat them",
}
_CANDIDATES = {"untrained": "the untrained network", "lognormal": "the lognormal field"}


def name_of(statistic: str) -> str:
    """Return a statistic in words."""
    return NAMES.get(statistic, statistic.replace("_", " "))


def headline(verdict: Verdict, alarms: Sequence[str] = ()) -> str:
    """Return the verdict in one sentence, with what was found beside the bins."""
    about = verdict.about
    outcome = conclude(about, alarms)
    boxes = plural(verdict.simulations, "held-out simulation")
    passed, failed, unsure = (about.count(o) for o in (PASS, FAIL, CANNOT_TELL))
    who = f"The {about.name} fields"
    if outcome == PASS:
        return f"{who} pass: all {passed} judged bins agree with {boxes} within tolerance."
    rest = f"{passed} of {about.bins} judged bins agree within tolerance"
    if outcome == FAIL and about.outcome != FAIL:
        return f"{who} fail: {rest}, but {enumeration(_wrong_scores(about))}."
    if outcome == CANNOT_TELL and about.outcome == PASS:
        what = enumeration([_ALARMS[name] for name in alarms])
        return f"{who} stay open: {rest}, but {what}."
    if about.outcome == FAIL:
        where = enumeration([name_of(n) for n, r in about.results.items() if r.outcome == FAIL])
        doubt = f", for {unsure} the {boxes} cannot tell" if unsure else ""
        verb = "lie" if failed > 1 else "lies"
        return f"{who} fail: {rest}, {failed} {verb} outside ({where}){doubt}."
    return f"{who} fail nowhere, but {boxes} cannot tell everywhere: {rest}, {_open(unsure)}."


def _open(unsure: int) -> str:
    return f"{unsure} {'stays' if unsure == 1 else 'stay'} open"


def _wrong_scores(about: Candidate) -> list[str]:
    return [
        f"the {s.name} is {ratio(s.value.value)} ({interval(s.value)}; {s.lowest:g} to {s.highest:g} passes)"
        for s in about.scorecard
        if s.outcome == FAIL
    ]


def together(verdict: Verdict) -> str:
    """Return what all bins together say, in one sentence."""
    if undecided(verdict):
        return (
            "All bins together say nothing yet: that takes more simulations on either side, and such "
            "as vary."
        )
    largest = verdict.about.overall
    size = f"{abs(largest.deviation):.1f} standard errors ({place(largest, verdict.about)})"
    perfect = f"a perfect emulator exceeds {largest.threshold:.1f} in one case of twenty"
    if largest.alarm:
        return (
            f"They can be told from simulations: the largest deviation is {size}, "
            f"{perfect} ({chance(largest.p_value)})."
        )
    return (
        f"They cannot be told from simulations: the largest deviation is {size}, and {perfect} "
        f"({chance(largest.p_value)})."
    )


def undecided(verdict: Verdict) -> bool:
    """Whether a side has a single simulation, or chance alone makes any deviation."""
    few = min(verdict.simulations, verdict.about.simulations) < 2
    return few or not math.isfinite(verdict.about.overall.threshold)


def lesson(verdict: Verdict) -> str:
    """Return whether the network learnt anything, in one sentence; empty if there is no contest."""
    if verdict.learnt is None:
        return ""
    if verdict.learnt:
        others = enumeration(list(dict.fromkeys(rival(c.other) for c in verdict.contests)))
        where = enumeration(list(dict.fromkeys(name_of(c.statistic) for c in verdict.contests)))
        return f"It learnt: it beats {others}, outside errors, on the {where}."
    lost = [
        f"{rival(c.other)} on the {name_of(c.statistic)}"
        for c in verdict.contests
        if c.outcome != BEATS
    ]
    return (
        f"It learnt nothing that {plural(verdict.simulations, 'held-out simulation')} can show: "
        f"outside errors, it does not beat {enumeration(lost, 'or')}."
    )


def on_samples(samples: "Samples | None") -> list[tuple[str, str]]:
    """Return what a look at the fields found: a mark, and one sentence."""
    if samples is None:
        return []
    said = []
    if samples.novelty is not None:
        said.append(("fail" if samples.novelty.alarm else "pass", _on_copies(samples.novelty)))
    if samples.diversity is not None:
        mark = "fail" if samples.diversity.alarm else "pass"
        said.append((mark, _on_diversity(samples.diversity)))
    if samples.classified is not None:
        found = samples.classified
        mark = "fail" if found.alarm else "unsure" if found.silent else "pass"
        said.append((mark, _on_classifier(found)))
    return said


def _on_copies(novelty: "Novelty") -> str:
    counts = novelty.training.suspects.size, novelty.others.suspects.size
    of = f"of {novelty.training.rows.size} fields"
    if not novelty.alarm:
        return (
            f"They are new: {of} none resembles one of the {novelty.searched} training fields that were searched, "
            f"of {novelty.known}, or another, more than chance allows."
        )
    if not any(counts):
        return (
            f"They lean on their training fields: {of} all resemble them more than held-out ones."
        )
    parts = [
        f"{count} resemble {what}"
        for count, what in zip(counts, ("training fields", "each other"), strict=True)
        if count
    ]
    return f"They are copies: {of} {enumeration(parts)} more than chance allows."


def _on_diversity(found: "Diversity") -> str:
    coverage = found.measures["coverage"]
    much = f"they cover {percent(coverage.value)} of the simulated ones"
    usual = f"simulations cover each other to {percent(coverage.median)}"
    if found.alarm:
        return f"They are not as simulations are, field by field: {much}, {usual} ({chance(found.p_value)})."
    return f"They are as diverse as simulations: {much}, {usual} ({chance(found.p_value)})."


def _on_classifier(found: "Classified") -> str:
    range_ = f"{percent(found.low)} to {percent(found.high)}"
    auc = f"of two fields it picks the emulated one {percent(found.auc)} of the time ({range_})"
    chance_is = "where 50\u202f% is chance"
    told = (
        ""
        if found.control is None
        else f"; simulations behind a slight blur it knows {percent(found.control.auc)} of the time"
    )
    if found.alarm:
        return f"A fresh network can tell them: {auc}, {chance_is}{told}."
    if found.silent:
        return f"Whether a fresh network can tell them stays open: {auc}, {chance_is}{told}."
    return f"A fresh network cannot tell them: {auc}, {chance_is}{told}."


def on_pairs(pairs: "Pairs | None") -> list[tuple[str, str]]:
    """Return what pairs of the same initial conditions found: a mark, and one sentence."""
    if pairs is None:
        return []
    passed, failed, unsure = (pairs.count(o) for o in (PASS, FAIL, CANNOT_TELL))
    found = f"{passed} of {pairs.bins} judged bins agree within tolerance"
    outside = f", {failed} outside" if failed else ", none lies outside"
    rest = outside + (f", {_open(unsure)}" if unsure else "")
    mark = "fail" if failed else "unsure" if unsure else "pass"
    said = [(mark, f"From the same initial conditions {found}{rest}.")]
    said.append(_on_exchanges(pairs))
    if pairs.left_open is not None:
        said.append(_on_phases(pairs, pairs.left_open))
    return said


def _on_exchanges(pairs: "Pairs") -> tuple[str, str]:
    if pairs.undecided:
        return "unsure", f"{plural(pairs.simulations, 'pair')} of simulations can accuse no draw."
    largest = pairs.overall
    size = f"{abs(largest.deviation):.1f} standard errors ({place(largest, pairs)}; {chance(largest.p_value)})"
    verb = "can" if largest.alarm else "cannot"
    mark = "fail" if largest.alarm else "pass"
    return mark, f"A draw {verb} be told from the simulation it stands for: by {size} at most."


def _on_phases(pairs: "Pairs", left: "Curve") -> tuple[str, str]:
    worst = int(left.value.argmax())
    mark, verb = {
        BEATS: ("pass", "knows more of where matter is than"),
        DOES_NOT_BEAT: ("fail", "knows less of where matter is, on some scales, than"),
    }.get(pairs.contest, ("unsure", "cannot be shown to know more of where matter is than"))
    much = (
        f"{ratio(float(left.value[worst]))} times that of theory, at k = {pairs.k[worst]:.2g} h/Mpc"
    )
    return mark, (
        f"It {verb} its latent, perturbation theory alone: 1 − r of the mean of many draws is at most {much}."
    )


def chance(p_value: float) -> str:
    """Return a p value, which no resampling can tell from zero."""
    space = "\u00a0"
    sign, number = ("<", "0.001") if p_value < 0.001 else ("=", f"{p_value:.2g}")
    return space.join(("p", sign, number))


def place(largest: Largest, of: "Candidate | Pairs") -> str:
    """Return where the largest deviation is."""
    result = of.results[largest.statistic]
    if not result.coordinate_label:
        return name_of(largest.statistic)
    what = "k" if result.coordinate_unit else "ρ/ρ̄"
    unit = f" {result.coordinate_unit}" if result.coordinate_unit else ""
    return f"{name_of(largest.statistic)} at {what} = {largest.coordinate:.2g}{unit}"


def rival(name: str) -> str:
    """Return what a contest is against."""
    return _CANDIDATES.get(name, name)


def plural(count: int, noun: str) -> str:
    """Return a count with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def enumeration(items: Sequence[str], last: str = "and") -> str:
    """Return items as people list them."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {last} {items[-1]}"


def on_memory(alarms: Sequence[str]) -> str:
    """Return that the networks know training fields by heart, in one sentence; empty if they do not."""
    return f"An alarm of the training: {_ALARMS['memory']}." if "memory" in alarms else ""


def on_places(table: StatisticsTable) -> str:
    """Return that fields lie where the network was not trained, in one sentence; empty if they do not."""
    if not table.attributes.get("extrapolated"):
        return ""
    return f"The {table.source} fields lie outside what the network was trained at."


def on_universes(universes: "Universes") -> list[str]:
    """Return what was found in many universes: the power spectrum first, then all statistics."""
    names = universes.statistics
    first = "power" if "power" in names else names[0]
    count, tolerance = len(universes.each), universes.each[0].score(first).highest
    passed, failed, unsure = (universes.count(first, o) for o in (PASS, FAIL, CANNOT_TELL))
    worst = universes.worst(first)
    rest = [
        f"{number} {verb if number > 1 else once}"
        for number, verb, once in ((failed, "fail", "fails"), (unsure, "stay open", "stays open"))
        if number
    ]
    well = [n for n in names if universes.count(n, PASS) == len(universes.having(n))]
    badly = [n for n in names if universes.count(n, FAIL)]
    headline = (
        f"The mean error of the {name_of(first)} of the emulated fields is within {percent(tolerance)} in "
        f"{passed} of {count} held-out universes{''.join(f', {each}' for each in rest)}; at worst it is "
        f"{percent(worst.results[first].error.value)}, at {name_universe(worst)}. Every judged bin of it passes in "
        f"{universes.count_bins(first)}."
    )
    everywhere = enumeration([name_of(n) for n in well]) or "nothing"
    sentences = [
        headline,
        f"In every universe within tolerance, in the mean over bins: {everywhere}.",
    ]
    if universes.extrapolated:
        sentences.append("Some of these universes lie outside what the network was trained at.")
    if badly:
        where = [f"{name_of(n)} ({universes.count(n, FAIL)})" for n in badly]
        sentences.append(f"Outside it in some: {enumeration(where)}.")
    return sentences


def name_universe(universe: "Universe") -> str:
    """Return the parameters of a universe in words."""
    return ", ".join(f"{name} = {value:.4g}" for name, value in universe.parameters.items())


def percent(value: float) -> str:
    """Return a fraction as per cent, with two or three figures."""
    if not math.isfinite(value):
        return "–"
    value = 100 * value
    digits = 0 if abs(value) >= 99.5 else 1 if abs(value) >= 0.95 else 2
    return f"{value:.{digits}f}\u202f%"


def ratio(value: float) -> str:
    """Return a ratio with three decimals; a large one with three figures."""
    if not math.isfinite(value):
        return "∞" if value > 0 else "−∞" if value < 0 else "–"
    text = f"{value:.3f}" if abs(value) < 10 else f"{value:.3g}"
    return text.replace("-", "−")


def small(value: float) -> str:
    """Return a small number with two figures and a power of ten."""
    if value == 0 or not math.isfinite(value):
        return ratio(value)
    mantissa, exponent = f"{value:.1e}".split("e")
    power = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{mantissa.replace('-', '−')}\u202f×\u202f10{power}"


def interval(of: Measured, as_text: Callable[[float], str] = ratio) -> str:
    """Return an interval as a range."""
    return f"{as_text(of.low)} to {as_text(of.high)}"


def seconds(value: float) -> str:
    """Return a time with three figures."""
    if value >= 3600:
        return f"{value / 3600:.3g} h"
    if value >= 60:
        return f"{value / 60:.3g} min"
    return f"{value:.3g} s" if value >= 0.1 else f"{1000 * value:.3g} ms"
