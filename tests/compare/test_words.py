from dataclasses import replace

import pytest

from cosmogan.compare import words
from cosmogan.compare.findings import CANNOT_TELL, FAIL, PASS, Measured, conclude
from cosmogan.compare.verdict import judge


@pytest.fixture(scope="module")
def verdict(run):
    names = ("emulated", "untrained", "lognormal")
    return judge({n: run[n] for n in names}, run["test"], training=run["train"])


def with_outcome(verdict, statistic, outcome):
    """Return the verdict with all bins passed but those of one statistic."""
    about = verdict.about
    results = {
        name: replace(
            result,
            outcome=outcome if name == statistic else PASS,
            bins=tuple(
                replace(b, outcome=outcome if name == statistic else PASS) for b in result.bins
            ),
        )
        for name, result in about.results.items()
    }
    candidates = {**verdict.candidates, about.name: replace(about, results=results)}
    return replace(verdict, candidates=candidates)


def test_the_headline_says_pass_only_if_all_bins_pass(verdict):
    passed = words.headline(with_outcome(verdict, "", PASS))
    assert passed == (
        f"The emulated fields pass: all {verdict.about.bins} judged bins agree with "
        "8 held-out simulations within tolerance."
    )


def test_the_headline_names_what_fails(verdict):
    failed = words.headline(with_outcome(verdict, "pdf_smoothed", FAIL))
    assert failed.startswith("The emulated fields fail: ")
    assert "outside (smoothed density PDF)" in failed


def test_the_headline_does_not_hide_what_is_open(verdict):
    unsure = words.headline(with_outcome(verdict, "bispectrum", CANNOT_TELL))
    bins = len(verdict.about.results["bispectrum"].bins)
    assert "fail nowhere, but 8 held-out simulations cannot tell everywhere" in unsure
    assert unsure.endswith(f"{bins} stay open.")


def test_it_learnt_nothing_unless_it_wins_every_contest(verdict):
    assert words.lesson(verdict).startswith("It learnt: it beats the untrained network and the")
    first, *rest = verdict.contests
    lost = replace(verdict, contests=(replace(first, outcome=CANNOT_TELL), *rest))
    assert words.lesson(lost) == (
        "It learnt nothing that 8 held-out simulations can show: outside errors, it does not beat "
        "the untrained network on the reduced bispectrum."
    )
    assert words.lesson(replace(verdict, contests=())) == ""


def test_the_largest_deviation_is_named_with_its_chance(verdict):
    assert words.together(verdict).startswith("They cannot be told from simulations: ")
    overall = replace(
        verdict.about.overall, alarm=True, statistic="power", coordinate=0.25, p_value=0.0005
    )
    about = replace(verdict.about, overall=overall)
    told = words.together(replace(verdict, candidates={"emulated": about}))
    assert told.startswith("They can be told from simulations: ")
    assert "(power spectrum at k = 0.25 h/Mpc)" in told
    assert told.endswith("(p\u00a0<\u00a00.001).")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0123, "1.2"), (0.00123, "0.12"), (1.0, "100"), (0.9949, "99.5"), (float("inf"), "–")],
)
def test_per_cent_have_two_or_three_figures(value, text):
    assert words.percent(value).removesuffix("\u202f%") == text


def test_numbers_are_read_as_people_write_them():
    assert words.ratio(-0.5) == "−0.500"
    assert words.ratio(float("inf")) == "∞"
    assert words.interval(Measured(value=1.0, low=float("-inf"), high=12.5)) == "−∞ to 12.5"
    assert [words.seconds(s) for s in (0.004, 2.5, 90, 7200)] == ["4 ms", "2.5 s", "1.5 min", "2 h"]
    assert words.plural(1, "box") == "1 box"
    assert words.enumeration(["a", "b", "c"]) == "a, b and c"
    assert words.enumeration([]) == ""


def test_one_simulation_says_nothing_of_all_bins_together(verdict):
    assert words.together(replace(verdict, simulations=1)).startswith(
        "All bins together say nothing"
    )


def test_where_chance_makes_any_deviation_nothing_is_said_of_all_bins_together(verdict):
    overall = replace(verdict.about.overall, threshold=float("inf"))
    about = replace(verdict.about, overall=overall)
    told = words.together(replace(verdict, candidates={"emulated": about}))
    assert told.startswith("All bins together say nothing yet")


def test_what_bins_do_not_show_is_in_the_headline_too(verdict):
    passed = with_outcome(verdict, "", PASS)
    assert conclude(passed.about, []) == PASS
    assert conclude(passed.about, ["novelty"]) == CANNOT_TELL
    assert "stay open: " in words.headline(passed, ["novelty"])
    assert words.headline(passed, ["novelty"]).endswith("more than chance allows.")
    scores = [replace(s, outcome=FAIL) for s in passed.about.scorecard if "correl" in s.name]
    about = replace(passed.about, scorecard=tuple(scores))
    together = replace(passed, candidates={**passed.candidates, about.name: about})
    assert conclude(about, []) == FAIL
    assert "fail: " in words.headline(together)
    assert "the correlation ratio is" in words.headline(together)
    failed = with_outcome(verdict, "power", FAIL)
    assert conclude(failed.about, ["novelty"]) == FAIL
    assert "outside (power spectrum)" in words.headline(failed, ["novelty"])
