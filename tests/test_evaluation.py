"""Evaluation: seqeval's and scikit-learn's numbers on raw tags, both rules, intervals, mistakes, and every refusal."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval import scheme as seqeval_scheme
from seqeval.metrics import classification_report, f1_score
from sklearn.metrics import accuracy_score, confusion_matrix
from sklearn.metrics import f1_score as plain_f1

from structseq.errors import DataError
from structseq.evaluation import Report, Score, entities_of, entity_f1, evaluate
from structseq.evaluation.matching import match
from structseq.evaluation.mistakes import KINDS, pair
from structseq.evaluation.significance import resample
from structseq.spans import PLAIN, SCHEMES, Scheme, Span, scheme_of

BIO = scheme_of("BIO")
CHUNKED = [scheme for scheme in SCHEMES.values() if not scheme.plain]
Rows = list[list[str]]


def random_tags(scheme: Scheme, seed: int, *, alike: float = 0.6, sentences: int = 60) -> tuple[Rows, Rows]:
    """Gold and predicted tags, often illegal, often alike, with empty sentences among them."""
    chance = random.Random(seed)
    tags = ["O", *(scheme.tag(letter, kind) for letter in scheme.letters.values() for kind in ("x", "y", "z"))]
    gold = [[chance.choice(tags) for _ in range(chance.choice([0, 1, 3, 8]))] for _ in range(sentences)]
    predicted = [[tag if chance.random() < alike else chance.choice(tags) for tag in row] for row in gold]
    return gold, predicted


def two_sided(scheme: Scheme) -> st.SearchStrategy[list[list[tuple[str, str]]]]:
    tags = st.sampled_from([*scheme.complete(["O", scheme.tag("I", "x"), scheme.tag("I", "y")])])
    return st.lists(st.lists(st.tuples(tags, tags), max_size=8), max_size=4)


def sides(rows: Sequence[Sequence[tuple[str, str]]]) -> tuple[Rows, Rows]:
    return [[gold for gold, _ in row] for row in rows], [[guess for _, guess in row] for row in rows]


def sets_f1(gold: Rows, predicted: Rows, scheme: Scheme, *, strict: bool = False) -> float:
    """Entity F1 from sets of spans, slow and obvious."""
    read = scheme.decode_strict if strict else scheme.decode
    ours, theirs = ({(n, span) for n, row in enumerate(rows) for span in read(row)} for rows in (gold, predicted))
    return 2 * len(ours & theirs) / (len(ours) + len(theirs)) if ours or theirs else 0.0


class TestTheOneNumber:
    @pytest.mark.parametrize("scheme", CHUNKED, ids=str)
    def test_as_from_sets_of_spans(self, scheme: Scheme) -> None:
        for seed in range(5):
            gold, predicted = random_tags(scheme, seed)
            assert entity_f1(gold, predicted, scheme) == pytest.approx(sets_f1(gold, predicted, scheme))
            report = evaluate(gold, predicted, scheme=scheme, bootstrap=0)
            assert report.criterion == report.micro.f1 == pytest.approx(sets_f1(gold, predicted, scheme))
            assert report.strict.micro.f1 == pytest.approx(sets_f1(gold, predicted, scheme, strict=True))

    @pytest.mark.parametrize("name", ["IO", "IOB1", "BIO", "IOE", "BIOES"])
    def test_seqevals_on_the_raw_tags(self, name: str) -> None:
        for seed in range(5):
            gold, predicted = random_tags(scheme_of(name), seed)
            expected = f1_score(gold, predicted, zero_division=0)
            assert entity_f1(gold, predicted, scheme_of(name)) == pytest.approx(expected)

    @given(rows=two_sided(scheme_of("BIOES")))
    @settings(max_examples=60)
    def test_units_are_those_of_the_scheme(self, rows: list[list[tuple[str, str]]]) -> None:
        scheme = scheme_of("BIOES")
        gold, predicted = sides(rows)
        found = match(gold, predicted, scheme)
        for side, units in ((gold, found.gold), (predicted, found.predicted)):
            starts = found.offsets[found.sentence_of(units)]
            read = [
                (int(n), Span(int(start), int(end), found.kinds[kind]))
                for n, start, end, kind in zip(
                    found.sentence_of(units), units.start - starts, units.end - starts, units.kind, strict=True
                )
            ]
            assert read == [(n, span) for n, row in enumerate(side) for span in scheme.decode(row)]
            written = [unit for unit, well in zip(read, units.well_formed, strict=True) if well]
            assert written == [(n, span) for n, row in enumerate(side) for span in scheme.decode_strict(row)]

    def test_types_without_a_name_and_with_hyphens(self) -> None:
        bmes = scheme_of("BMES")
        assert entity_f1([list("BESS")], [list("BEBE")], bmes) == pytest.approx(2 / 5)
        report = evaluate([["B", "I", "B-a-b"]], [["B", "I", "B-_"]], scheme=BIO, bootstrap=0)
        assert {kind: score.f1 for kind, score in report.types.items()} == {"": 1, "_": 0, "a-b": 0}


class TestSeqevalsTable:
    @pytest.mark.parametrize(
        ("name", "theirs"),
        [
            ("BIO", seqeval_scheme.IOB2),
            ("IOE", seqeval_scheme.IOE2),
            ("BIOES", seqeval_scheme.IOBES),
            ("BILOU", seqeval_scheme.BILOU),
        ],
    )
    def test_strict(self, name: str, theirs: type) -> None:
        gold, predicted = random_tags(scheme_of(name), 7)
        table = evaluate(gold, predicted, scheme=scheme_of(name), bootstrap=0).strict
        expected = classification_report(
            gold, predicted, mode="strict", scheme=theirs, output_dict=True, zero_division=0
        )
        self.same(table.micro, expected["micro avg"])
        self.same(table.macro, expected["macro avg"])
        assert list(table.types) == ["x", "y", "z"]
        for kind, score in table.types.items():
            self.same(score, expected[kind])

    @pytest.mark.parametrize("name", ["BIO", "IOB1", "BIOES"])
    def test_lenient(self, name: str) -> None:
        gold, predicted = random_tags(scheme_of(name), 8)
        report = evaluate(gold, predicted, scheme=scheme_of(name), bootstrap=0)
        expected = classification_report(gold, predicted, output_dict=True, zero_division=0)
        self.same(report.micro, expected["micro avg"])
        self.same(report.macro, expected["macro avg"])
        for kind, score in report.types.items():
            self.same(score, expected[kind])

    def same(self, score: Score, expected: dict[str, float]) -> None:
        theirs = [expected[name] for name in ("precision", "recall", "f1-score", "support")]
        assert [score.precision, score.recall, score.f1, score.support] == pytest.approx(theirs)

    def test_counts_agree_with_shares(self) -> None:
        report = evaluate(*random_tags(BIO, 9), scheme=BIO, bootstrap=0)
        for score in (*report.types.values(), report.micro, *report.strict.types.values(), report.strict.micro):
            assert score.precision == pytest.approx(score.correct / score.predicted)
            assert score.recall == pytest.approx(score.correct / score.support)
        assert report.micro.correct == sum(score.correct for score in report.types.values())

    def test_single_token_entities_of_bilou_are_not_merged(self) -> None:
        """seqeval reads U-PER U-PER as one entity unless the scheme is given."""
        report = evaluate([["U-PER", "U-PER"]], [["U-PER", "O"]], scheme=scheme_of("BILOU"), bootstrap=0)
        assert (report.micro.support, report.micro.correct) == (2, 1)

    def test_both_rules_stand_side_by_side_where_they_differ(self) -> None:
        report = evaluate([["B-PER", "I-PER"]], [["I-PER", "I-PER"]], scheme=BIO, bootstrap=0)
        assert (report.micro.f1, report.strict.micro.f1) == (1.0, 0.0)
        assert "strict" in report.text() and "conlleval" in report.text()
        legal = evaluate([["B-PER", "I-PER"]], [["B-PER", "O"]], scheme=BIO, bootstrap=0)
        assert legal.strict == legal.table and "strict rule: the same scores" in legal.text()


class TestPlainTags:
    def tags(self, seed: int = 1) -> tuple[Rows, Rows]:
        chance = random.Random(seed)
        gold = [[chance.choice("NVDA") for _ in range(chance.randrange(6))] for _ in range(50)]
        return gold, [[tag if chance.random() < 0.7 else chance.choice("NVDX") for tag in row] for row in gold]

    def test_accuracy_and_the_table_by_tag(self) -> None:
        gold, predicted = self.tags()
        flat = [[tag for row in rows for tag in row] for rows in (gold, predicted)]
        report = evaluate(gold, predicted, scheme=PLAIN, bootstrap=50)
        expected = accuracy_score(*flat)
        assert entity_f1(gold, predicted, PLAIN) == pytest.approx(expected)
        assert report.criterion == report.accuracy == pytest.approx(expected) == pytest.approx(report.micro.f1)
        assert list(report.types) == list("ADNVX")
        scores = [score.f1 for score in report.types.values()]
        assert scores == pytest.approx(list(plain_f1(*flat, average=None, zero_division=0)))
        assert list(report.intervals) == ["accuracy"]
        assert report.signature.startswith("accuracy|scheme:plain")

    def test_confusion(self) -> None:
        gold, predicted = self.tags(2)
        flat = [[tag for row in rows for tag in row] for rows in (gold, predicted)]
        matrix = confusion_matrix(*flat, labels=list("ADNVX"))
        report = evaluate(gold, predicted, scheme=PLAIN, bootstrap=0)
        found = np.diag(np.diag(matrix))
        for cell in report.confusion:
            found["ADNVX".index(cell.gold or ""), "ADNVX".index(cell.predicted or "")] = cell.count
        assert (found == matrix).all()
        assert sum(cell.count for cell in report.confusion) == len(report.errors)

    def test_tags_that_look_like_spans_are_still_plain(self) -> None:
        assert entity_f1([["B-x", "I-x"]], [["I-x", "I-x"]], PLAIN) == 0.5


class TestEmptyAndShort:
    @pytest.mark.parametrize("scheme", SCHEMES.values(), ids=str)
    @pytest.mark.parametrize("rows", [[], [[]], [[], []]], ids=str)
    def test_nothing_divided_by_nothing_is_0(self, scheme: Scheme, rows: Rows) -> None:
        assert entity_f1(rows, rows, scheme) == 0.0
        report = evaluate(rows, rows, scheme=scheme, bootstrap=10)
        assert report.criterion == 0.0 and not report.types and not report.errors and report.text()
        assert "|0/0:0|" in report.signature

    def test_no_entities_anywhere(self) -> None:
        report = evaluate([["O", "O"]], [["O", "O"]], scheme=BIO, bootstrap=10)
        assert report.criterion == 0.0 and report.accuracy == 1.0 and report.intervals["f1"] == (0.0, 0.0)

    def test_tuples_will_do(self) -> None:
        assert entity_f1((("B-x", "O"), ()), [["B-x", "O"], []], BIO) == 1.0

    def test_a_sentence_of_100_000_tokens(self) -> None:
        gold = [["B-x", "I-x", "O", "B-y"] * 25_000]
        predicted = [["B-x", "I-x", "O", "B-x"] * 25_000]
        report = evaluate(gold, predicted, scheme=BIO, bootstrap=100)
        assert report.micro.f1 == 0.5 and len(report.errors) == 25_000 and report.intervals["f1"] == (0.5, 0.5)


class TestRefusals:
    def test_lengths(self) -> None:
        for call in (
            lambda gold, predicted: entity_f1(gold, predicted, BIO),
            lambda gold, predicted: evaluate(gold, predicted, scheme=BIO),
        ):
            with pytest.raises(DataError, match="expected predicted tags for 2 sentences, found 1"):
                call([["O"], ["O"]], [["O"]])
            with pytest.raises(DataError, match="sentence 2: expected 2 predicted tags, one for each tag, found 1"):
                call([["O"], ["O", "O"]], [["O"], ["O"]])
        with pytest.raises(DataError, match=r"^dev\.conll:7: expected 2 predicted tags"):
            evaluate([["O"], ["O", "O"]], [["O"], ["O"]], scheme=BIO, sources=["dev.conll:5", "dev.conll:7"])
        with pytest.raises(DataError, match="sentence 1: expected 1 tokens"):
            evaluate([["O"]], [["O"]], scheme=BIO, tokens=[["a", "b"]])

    @pytest.mark.parametrize("side", ["gold", "predicted"])
    def test_foreign_tags(self, side: str) -> None:
        good, bad = [["O"], ["O", "B-x"]], [["O"], ["O", "S-x"]]
        rows = (bad, good) if side == "gold" else (good, bad)
        with pytest.raises(DataError, match="sentence 2, token 2: 'S-x' is not a tag of BIO"):
            entity_f1(*rows, BIO)


class TestSeenAndUnseen:
    TOKENS = (("from", "New", "York", "to", "Rome"), ("to", "Oslo"))
    GOLD = (("O", "B-from", "I-from", "O", "B-to"), ("O", "B-to"))

    def test_entities_of(self) -> None:
        assert entities_of(self.TOKENS, self.GOLD, BIO) == {("New York", "from"), ("Rome", "to"), ("Oslo", "to")}
        assert entities_of([["a", "dog"]], [["DT", "NN"]], PLAIN) == {("a", "DT"), ("dog", "NN")}

    def test_apart(self) -> None:
        predicted = [["O", "B-from", "I-from", "O", "B-from"], ["O", "B-to"]]
        known = {("New York", "from"), ("Rome", "from"), ("Rome", "to")}
        report = evaluate(self.GOLD, predicted, scheme=BIO, tokens=self.TOKENS, known_entities=known, bootstrap=0)
        # gold: New York and Rome seen, Oslo not; predicted: New York and Rome (as origin) seen, Oslo not
        assert report.seen == Score(1 / 2, 1 / 2, 1 / 2, support=2, predicted=2, correct=1)
        assert report.unseen == Score(1.0, 1.0, 1.0, support=1, predicted=1, correct=1)
        assert "unseen" in report.text()

    def test_without_known_entities(self) -> None:
        report = evaluate(self.GOLD, self.GOLD, scheme=BIO, bootstrap=0)
        assert report.seen is None and report.unseen is None and "unseen" not in report.text()

    def test_together_they_are_all(self) -> None:
        gold, predicted = random_tags(BIO, 4)
        tokens = [[f"w{n % 3}" for n in range(len(row))] for row in gold]
        known = list(entities_of(tokens[:10], gold[:10], BIO))
        report = evaluate(gold, predicted, scheme=BIO, tokens=tokens, known_entities=known, bootstrap=0)
        assert report.seen and report.unseen and report.seen.support and report.unseen.support
        for count in ("support", "predicted", "correct"):
            parts = getattr(report.seen, count) + getattr(report.unseen, count)
            assert parts == getattr(report.micro, count)

    def test_tags_unseen_in_training_are_named_and_misses(self) -> None:
        report = evaluate(
            [["B-new", "O", "B-x"], ["B-new", "I-new"]],
            [["O", "O", "B-x"], ["B-x", "O"]],
            scheme=BIO,
            known_tags=["O", "B-x"],
            bootstrap=0,
        )
        assert report.unseen_tags == {"B-new": 2, "I-new": 1}
        assert report.types["new"].recall == 0.0 and report.types["new"].support == 2
        assert "never seen in training, counted as misses: B-new (2), I-new (1)" in report.text()


class TestMistakes:
    def test_each_kind(self) -> None:
        tokens = [[f"w{n}" for n in range(12)]]
        gold = [["B-x", "B-y", "I-y", "O", "B-x", "I-x", "O", "B-z", "O", "O", "B-y", "O"]]
        guess = [["B-y", "B-y", "O", "O", "B-y", "I-y", "I-y", "O", "O", "B-z", "B-y", "O"]]
        report = evaluate(gold, guess, scheme=BIO, tokens=tokens, sources=["a.conll:3"], bootstrap=0)
        assert [(e.kind, e.gold, e.predicted) for e in report.errors] == [
            ("type", Span(0, 1, "x"), Span(0, 1, "y")),
            ("boundary", Span(1, 3, "y"), Span(1, 2, "y")),
            ("boundary and type", Span(4, 6, "x"), Span(4, 7, "y")),
            ("missed", Span(7, 8, "z"), None),
            ("spurious", None, Span(9, 10, "z")),
        ]
        assert report.error_kinds == dict.fromkeys(KINDS, 1)
        cells = {(cell.gold, cell.predicted): (cell.count, cell.same_ends) for cell in report.confusion}
        assert cells == {("x", "y"): (2, 1), ("y", "y"): (1, 0), ("z", None): (1, 0), (None, "z"): (1, 0)}
        assert report.confusion[0].count == 2
        assert "a.conll:3: boundary\n    gold       w0 [w1 w2]y w3" in report.text(errors=2)
        assert "2 of 5 errors" in report.text(errors=2) and "5 of 5 errors" in report.text(errors=None)
        assert "errors:\na.conll" not in report.text()

    def test_pairing(self) -> None:
        def spans(*ends: tuple[int, int, str]) -> list[Span]:
            return [Span(*end) for end in ends]

        # the larger overlap wins, then the same type, then the left one
        assert pair(spans((0, 5, "x")), spans((0, 2, "x"), (2, 5, "y"))) == [
            (None, Span(0, 2, "x")),
            (Span(0, 5, "x"), Span(2, 5, "y")),
        ]
        assert pair(spans((0, 4, "x")), spans((0, 2, "y"), (2, 4, "x")))[0] == (None, Span(0, 2, "y"))
        assert pair(spans((0, 4, "x")), spans((0, 2, "x"), (2, 4, "x")))[0] == (Span(0, 4, "x"), Span(0, 2, "x"))

    @given(rows=two_sided(BIO))
    @settings(max_examples=80)
    def test_every_unit_is_accounted_for_once(self, rows: list[list[tuple[str, str]]]) -> None:
        gold, predicted = sides(rows)
        report = evaluate(gold, predicted, scheme=BIO, bootstrap=0)
        for side, spans in (("gold", gold), ("predicted", predicted)):
            wrong = Counter((e.sentence, getattr(e, side)) for e in report.errors if getattr(e, side))
            every = {(n, span) for n, row in enumerate(spans) for span in BIO.decode(row)}
            assert set(wrong) <= every and not any(count > 1 for count in wrong.values())
            assert len(every) == len(wrong) + report.micro.correct
        for e in report.errors:
            if e.gold and e.predicted:
                assert min(e.gold.end, e.predicted.end) > max(e.gold.start, e.predicted.start)
                assert e.gold != e.predicted
        assert sum(report.error_kinds.values()) == len(report.errors)

    def test_context_is_cut_and_places_stand_in_for_words(self) -> None:
        gold, guess = [["O"] * 10 + ["B-x"] + ["O"] * 10], [["O"] * 21]
        words = evaluate(gold, guess, scheme=BIO, tokens=[[f"w{n}" for n in range(21)]], bootstrap=0).text(1)
        assert "    gold       ... w4 w5 w6 w7 w8 w9 [w10]x w11 w12 w13 w14 w15 w16 ...\n" in words
        assert "    predicted  (nothing)\n" in words
        assert "    gold       x tokens 11 to 11\n" in evaluate(gold, guess, scheme=BIO, bootstrap=0).text(1)


class TestIntervals:
    def report(self, seed: int = 0, resamples: int = 300) -> Report:
        return evaluate(*random_tags(BIO, 3, sentences=200), scheme=BIO, bootstrap=resamples, seed=seed)

    def test_around_the_score_and_decided_by_the_seed(self) -> None:
        report = self.report()
        for name, (low, high) in report.intervals.items():
            assert 0 < low < getattr(report.micro, name) < high < 1
        assert report.intervals == self.report().intervals != self.report(seed=1).intervals
        assert "n=300,seed=0" in report.signature

    def test_without_resamples(self) -> None:
        report = self.report(resamples=0)
        assert report.intervals == {} and "interval:none" in report.signature and "interval " not in report.text()

    def test_the_order_of_sentences_does_not_matter(self) -> None:
        gold, predicted = random_tags(BIO, 3)
        turned = evaluate(gold[::-1], predicted[::-1], scheme=BIO)
        assert turned.intervals == evaluate(gold, predicted, scheme=BIO).intervals

    def test_the_same_distribution_as_drawing_row_by_row(self) -> None:
        chance = np.random.default_rng(5)
        counts = chance.integers(0, 4, size=(80, 3))
        drawn = resample(counts, 20_000, seed=1)
        rows = counts[chance.integers(0, 80, size=(20_000, 80))].sum(axis=1)
        assert drawn.shape == rows.shape == (20_000, 3)
        assert drawn.mean(axis=0) == pytest.approx(80 * counts.mean(axis=0), rel=0.01)
        assert np.cov(drawn.T) == pytest.approx(80 * np.cov(counts.T, bias=True), rel=0.1, abs=2)
        for share in (2.5, 50, 97.5):
            assert np.percentile(drawn, share, axis=0) == pytest.approx(np.percentile(rows, share, axis=0), abs=2)

    def test_many_distinct_rows_are_drawn_in_blocks(self) -> None:
        counts = np.stack([np.arange(3000), np.arange(3000)[::-1]], axis=1)
        drawn = resample(counts, 400, seed=2)
        assert drawn.shape == (400, 2) and (drawn.sum(axis=1) == 3000 * 2999).all()
        assert len(np.unique(drawn[:, 0])) > 390

    def test_alike_sentences_leave_no_doubt(self) -> None:
        report = evaluate([["B-x", "B-y"]] * 9, [["B-x", "O"]] * 9, scheme=BIO)
        assert report.intervals == {"precision": (1, 1), "recall": (0.5, 0.5), "f1": pytest.approx((2 / 3, 2 / 3))}


class TestReport:
    def test_json(self) -> None:
        gold, predicted = random_tags(BIO, 6)
        tokens = [[f"w{n}" for n in range(len(row))] for row in gold]
        report = evaluate(gold, predicted, scheme=BIO, tokens=tokens, known_tags=["O"], known_entities=[])
        found = json.loads(json.dumps(report.to_dict(errors=2)))
        assert found["criterion"] == found["table"]["micro"]["f1"] == report.micro.f1
        assert found["table"]["types"]["x"]["support"] == report.types["x"].support
        assert found["intervals"]["f1"] == list(report.intervals["f1"])
        assert found["unseen"]["support"] == report.micro.support and found["seen"]["support"] == 0
        assert len(found["errors"]) == 2 and len(report.to_dict(errors=None)["errors"]) == len(report.errors)
        assert report.to_dict()["errors"] == []
        first = next(unit for unit in (found["errors"][0]["gold"], found["errors"][0]["predicted"]) if unit)
        assert first["text"].split() == [f"w{n}" for n in range(first["start_token"], first["end_token"])]

    def test_text(self) -> None:
        """The whole text of a small report."""
        report = evaluate(
            [["O", "B-city", "I-city"], ["B-day"]],
            [["O", "B-city", "I-city"], ["O"]],
            scheme=BIO,
            tokens=[["to", "New", "York"], ["Monday"]],
            sources=["a:1", "a:5"],
            bootstrap=0,
        )
        signature = report.signature
        assert signature.startswith("entity-F1|rule:conlleval|scheme:BIO|average:micro|0/0:0|interval:none|seqeval:")
        assert report.text(errors=1) == str(report).replace("signature", TEXT_ERRORS + "signature")
        assert str(report) == TEXT + f"signature: {signature}"


TEXT = """\
entity F1   66.67
precision  100.00
recall      50.00
2 sentences, 4 tokens; 2 entities, 1 predicted, 1 of them right; 75.00% of the tags right

type           precision  recall      F1  support  predicted
city              100.00  100.00  100.00        1          1
day                 0.00    0.00    0.00        1          0
micro average     100.00   50.00   66.67        2          1
macro average      50.00   50.00   50.00        2          1

strict rule: the same scores

errors: 1 missed
gold  predicted  count  same ends
day   (nothing)      1          0

"""
TEXT_ERRORS = """\
1 of 1 errors:
a:5: missed
    gold       [Monday]day
    predicted  (nothing)

"""
