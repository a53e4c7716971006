"""Symbol error rates: against hand-counted answers, a textbook edit distance, and what must hold of any answers."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structseq.errors import DataError
from structseq.evaluation.transduction_report import (
    Edit,
    TransductionReport,
    evaluate_transduction,
    exact_match,
    has_repeat,
    symbol_errors,
)

# "a" and 97, "-1" and "-2": symbols whose hashes are easily confused.
SYMBOLS = ("7", "77", "a", "é", "-1", "-2", " ", "")
ROWS = st.lists(st.sampled_from(SYMBOLS), max_size=6)
PAIRS = st.lists(st.tuples(ROWS, ROWS), max_size=8)

GOLD = [["7", "7", "3"], ["1", "2"], [], ["5", "5", "5"], ["4"]]
ANSWERED = [["7", "3"], ["1", "3"], ["9"], ["5", "5", "5"], ["4"]]


def sides(pairs: list[tuple[list[str], list[str]]]) -> tuple[list[list[str]], list[list[str]]]:
    return [gold for gold, _ in pairs], [found for _, found in pairs]


def distance(one: list[str], other: list[str]) -> int:
    """Wagner and Fischer 1974, as in the textbook."""
    table = [[i + j if i * j == 0 else 0 for j in range(len(other) + 1)] for i in range(len(one) + 1)]
    for i in range(1, len(one) + 1):
        for j in range(1, len(other) + 1):
            swap = table[i - 1][j - 1] + (one[i - 1] != other[j - 1])
            table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, swap)
    return table[-1][-1]


# -- counted by hand ---------------------------------------------------------------------------------------------------


def test_counts_of_a_small_corpus() -> None:
    report = evaluate_transduction(GOLD, ANSWERED, bootstrap=0)
    every = report.every
    assert (every.answers, every.symbols, every.right) == (5, 9, 2)
    assert (every.substitutions, every.deletions, every.insertions, every.edits) == (1, 1, 1, 3)
    assert report.error_rate == symbol_errors(GOLD, ANSWERED) == 3 / 9
    assert report.exact_match == exact_match(GOLD, ANSWERED) == 2 / 5
    assert report.criterion == pytest.approx(2 / 3)
    assert (report.repeated.answers, report.repeated.symbols, report.repeated.deletions) == (2, 6, 1)
    assert (report.others.answers, report.others.error_rate, report.others.exact_match) == (3, 2 / 3, 1 / 3)
    assert report.confusion == (Edit(None, "9", 1), Edit("2", "3", 1), Edit("7", None, 1))
    assert every.error_interval is None and report.repeated.exact_interval is None


def test_an_answer_can_be_more_wrong_than_it_is_long() -> None:
    assert symbol_errors([["1"]], [["2", "3", "4"]]) == 3
    assert evaluate_transduction([["1"]], [["2", "3", "4"]], bootstrap=0).criterion == 0


def test_without_gold_symbols_edits_are_counted_as_for_one() -> None:
    assert symbol_errors([], []) == symbol_errors([[], []], [[], []]) == 0
    assert symbol_errors([[], []], [["1"], ["2", "3"]]) == 3
    report = evaluate_transduction([], [])
    assert (report.error_rate, report.exact_match, report.errors) == (0, 0, ())
    assert report.every.error_interval is None and "interval:none" in report.signature


def test_worst_first_with_their_sources() -> None:
    named = [f"list.jsonl:{line}" for line in range(1, 6)]
    report = evaluate_transduction(GOLD, [*ANSWERED[:3], ["5"], ["4"]], sources=named)
    assert [(wrong.source, wrong.edits) for wrong in report.errors] == [
        ("list.jsonl:4", 2), ("list.jsonl:1", 1), ("list.jsonl:2", 1), ("list.jsonl:3", 1),
    ]  # fmt: skip
    assert report.sources == tuple(named)
    assert evaluate_transduction(GOLD, ANSWERED, sources=["", *named[1:]]).errors[0].source == "answer 1"


def test_symbols_that_training_never_saw() -> None:
    report = evaluate_transduction(GOLD, GOLD, known_symbols=["7", "1", "3", "4"])
    assert report.unknown == {"5": 3, "2": 1}
    assert "never seen in training, counted as errors: 5 (3), 2 (1)" in report.text()


def test_sides_that_do_not_belong_together() -> None:
    for compare in (symbol_errors, exact_match, evaluate_transduction):
        with pytest.raises(DataError, match="expected 2 answers, as many as gold ones, found 1"):
            compare([["1"], ["2"]], [["1"]])
    with pytest.raises(DataError, match="expected 1 sources, one for each answer, found 2"):
        evaluate_transduction([["1"]], [["1"]], sources=["a:1", "a:2"])


def test_repeats() -> None:
    assert [has_repeat(row) for row in ([], ["7"], ["7", "7"], ["7", "3", "7"], ["3", "7", "7"])] == [
        False, False, True, False, True,
    ]  # fmt: skip


# -- shown -------------------------------------------------------------------------------------------------------------


def test_the_text_tells_what_was_counted() -> None:
    report = evaluate_transduction([*GOLD, [" ", "x"]], [*ANSWERED, ["x"]], sources=["f:1"] * 6, bootstrap=100)
    shown = report.text(errors=2)
    lines = [line.split() for line in shown.splitlines()]
    assert ["repeat", "2", "6", "0", "1", "0", "16.67", "50.00"] in lines
    assert ["none", "4", "5", "1", "1", "1", "60.00", "25.00"] in lines
    assert ["all", "6", "11", "1", "2", "1", "36.36", "33.33"] in lines
    assert "2 of 4 wrong answers, worst first:" in shown and "f:1: 1 of 3 symbols" in shown
    assert ["gold", "7", "7", "3"] in lines and ["predicted", "7", "3"] in lines
    assert ["'", "'", "(nothing)", "1"] in lines, "a symbol that cannot be seen is quoted"
    assert "wrong answers" not in str(report) and shown.splitlines()[-1] == f"signature: {report.signature}"


def test_plain_values_for_json() -> None:
    report = evaluate_transduction(GOLD, ANSWERED, bootstrap=50)
    found = json.loads(json.dumps(report.to_dict(errors=None)))
    assert found["criterion"] == report.criterion and found["error_rate"] == report.error_rate
    assert found["repeated"]["deletions"] == 1 and len(found["error_interval"]) == 2
    assert [wrong["gold"] for wrong in found["errors"]] == [["7", "7", "3"], ["1", "2"], []]
    assert (found["wrong"], report.to_dict()["errors"], len(report.to_dict(errors=1)["errors"])) == (3, [], 1)


def test_intervals_hold_the_rate_and_one_seed_decides_them() -> None:
    chance = random.Random(0)
    gold = [[chance.choice("123") for _ in range(5)] for _ in range(80)]
    found = [[s if chance.random() < 0.9 else "4" for s in row] for row in gold]
    first, again, other = (evaluate_transduction(gold, found, bootstrap=2000, seed=seed) for seed in (0, 0, 1))
    assert first.every == again.every != other.every
    for score in (first.every, first.repeated, first.others):
        assert score.error_interval is not None and score.exact_interval is not None
        assert score.error_interval[0] < score.error_rate < score.error_interval[1]
        assert score.exact_interval[0] < score.exact_match < score.exact_interval[1]
    assert "n=2000,seed=0" in first.signature and "rapidfuzz:" in first.signature


# -- what must hold of any answers -------------------------------------------------------------------------------------


def numbers(report: TransductionReport) -> list[tuple[int, ...]]:
    return [
        (part.answers, part.symbols, part.substitutions, part.deletions, part.insertions, part.right)
        for part in (report.every, report.repeated, report.others)
    ]


@settings(deadline=None, derandomize=True, max_examples=150)
@given(PAIRS)
def test_edits_are_the_textbook_distance_and_none_exactly_where_all_is_right(pairs: list) -> None:
    gold, found = sides(pairs)
    report = evaluate_transduction(gold, found, bootstrap=0)
    expected = [distance(*pair) for pair in pairs]
    assert report.every.edits == sum(expected)
    assert report.error_rate == symbol_errors(gold, found) == sum(expected) / max(sum(map(len, gold)), 1)
    assert (report.every.edits == 0) == (gold == found)
    assert {wrong.answer: wrong.edits for wrong in report.errors} == {i: n for i, n in enumerate(expected) if n}
    assert report.every.insertions - report.every.deletions == sum(map(len, found)) - sum(map(len, gold))
    assert sum(edit.count for edit in report.confusion) == report.every.edits
    assert all(edit.gold != edit.predicted for edit in report.confusion)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(PAIRS, st.randoms(use_true_random=False))
def test_parts_add_up_and_the_order_of_answers_does_not_count(pairs: list, chance: random.Random) -> None:
    report = evaluate_transduction(*sides(pairs), bootstrap=0)
    every, repeated, others = numbers(report)
    assert every == tuple(map(sum, zip(repeated, others, strict=True)))
    shuffled = pairs.copy()
    chance.shuffle(shuffled)
    again = evaluate_transduction(*sides(shuffled), bootstrap=0)
    assert (numbers(again), again.confusion) == (numbers(report), report.confusion)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(ROWS, ROWS, ROWS)
def test_a_detour_is_never_shorter(one: list[str], other: list[str], third: list[str]) -> None:
    def edits(gold: list[str], found: list[str]) -> int:
        return evaluate_transduction([gold], [found], bootstrap=0).every.edits

    assert edits(one, other) == edits(other, one) <= edits(one, third) + edits(third, other)
    assert abs(len(one) - len(other)) <= edits(one, other) <= max(len(one), len(other))
