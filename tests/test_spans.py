"""Spans and tag schemes: one sentence in every scheme, and every rule against enumeration, conlleval and seqeval."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise, permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval import scheme as seqeval_scheme
from seqeval.metrics.sequence_labeling import get_entities

from structseq.errors import ConfigError, DataError
from structseq.spans import PLAIN, REPAIR_POLICIES, SCHEMES, Scheme, Span, TagError, convert, detect, repair, scheme_of

CHUNKED = [scheme for scheme in SCHEMES.values() if not scheme.plain]
# IO cannot keep neighbours of one type apart
EXACT = [scheme for scheme in CHUNKED if scheme.name != "IO"]

by_name = pytest.mark.parametrize("scheme", CHUNKED, ids=str)
exact_by_name = pytest.mark.parametrize("scheme", EXACT, ids=str)

# Two neighbours of one type, two neighbours of different types, a long entity and a single token
SENTENCE = (Span(0, 2, "PER"), Span(2, 3, "PER"), Span(4, 5, "LOC"), Span(5, 8, "ORG"))
WRITTEN = {
    "IOB1": "I-PER I-PER B-PER O I-LOC I-ORG I-ORG I-ORG O",
    "BIO": "B-PER I-PER B-PER O B-LOC B-ORG I-ORG I-ORG O",
    "IOE1": "I-PER E-PER I-PER O I-LOC I-ORG I-ORG I-ORG O",
    "IOE": "I-PER E-PER E-PER O E-LOC I-ORG I-ORG E-ORG O",
    "BIOES": "B-PER E-PER S-PER O S-LOC B-ORG I-ORG E-ORG O",
    "BILOU": "B-PER L-PER U-PER O U-LOC B-ORG I-ORG L-ORG O",
    "BMES": "B-PER E-PER S-PER O S-LOC B-ORG M-ORG E-ORG O",
}


def inventory(scheme: Scheme, types: Sequence[str] = ("x", "y"), *, outside: bool = True) -> tuple[str, ...]:
    return scheme.complete([*(["O"] if outside else []), *(scheme.tag("I", label) for label in types)])


def sequences(tags: Sequence[str], longest: int) -> Iterator[tuple[str, ...]]:
    for length in range(longest + 1):
        yield from product(tags, repeat=length)


def small_world(scheme: Scheme) -> list[tuple[str, ...]]:
    """Every sequence of up to 3 tags over two types, and of up to 4 over one, named or not."""
    worlds = ((["x", "y"], 3), (["x", ""], 3), (["x"], 4), ([""], 4))
    return [sequence for types, longest in worlds for sequence in sequences(inventory(scheme, types), longest)]


@cache
def allowed(scheme: Scheme, tags: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
    """The sequences of up to 4 of ``tags`` that `Scheme.legal` allows."""
    legal = scheme.legal(tags)
    number = {tag: n for n, tag in enumerate(tags)}
    found = {()}
    for sequence in sequences(tags, 4):
        path = [number[tag] for tag in sequence]
        transitions = all(legal.transitions[a, b] for a, b in pairwise(path))
        if path and transitions and legal.start[path[0]] and legal.end[path[-1]]:
            found.add(sequence)
    return frozenset(found)


@st.composite
def sentences(draw: st.DrawFn, types: Sequence[str] = ("x", "y", "")) -> tuple[tuple[Span, ...], int]:
    """Spans of a sentence, often touching, and its length."""
    spans, place = [], 0
    for gap, length, label in draw(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4), st.sampled_from(types)), max_size=6)
    ):
        spans.append(Span(place + gap, place + gap + length, label))
        place += gap + length
    return tuple(spans), place + draw(st.integers(0, 2))


def test_a_span_holds_at_least_one_token() -> None:
    for start, end in ((0, 0), (2, 1), (-1, 1)):
        with pytest.raises(DataError, match="0 <= start < end"):
            Span(start, end, "x")
    assert sorted([Span(1, 2, "a"), Span(0, 3, "b")])[0].label == "b"


class TestOneSentenceInEveryScheme:
    def test_every_scheme_is_in_the_table(self) -> None:
        assert {*WRITTEN, "IO"} == {scheme.name for scheme in CHUNKED}

    @pytest.mark.parametrize("name", WRITTEN)
    def test_written_and_read(self, name: str) -> None:
        scheme, tags = scheme_of(name), tuple(WRITTEN[name].split())
        assert scheme.encode(SENTENCE, 9) == tags
        assert scheme.encode(reversed(SENTENCE), 9) == tags
        assert scheme.decode(tags) == scheme.decode_strict(tags) == SENTENCE
        assert not scheme.violations(tags)

    @pytest.mark.parametrize(("source", "target"), [*permutations(WRITTEN, 2)])
    def test_converted(self, source: str, target: str) -> None:
        assert convert(WRITTEN[source].split(), scheme_of(source), scheme_of(target)) == tuple(WRITTEN[target].split())

    def test_io_merges_what_touches(self) -> None:
        io = scheme_of("IO")
        written = "I-PER I-PER I-PER O I-LOC I-ORG I-ORG I-ORG O"
        tags = written.split()
        assert io.decode(tags) == (Span(0, 3, "PER"), *SENTENCE[2:])
        with pytest.raises(DataError, match=r"IO cannot keep .* apart"):
            io.encode(SENTENCE, 9)
        with pytest.raises(DataError, match="IO cannot keep"):
            convert(WRITTEN["BIO"].split(), scheme_of("BIO"), io)

    def test_bare_letters_segment_words(self) -> None:
        bmes = scheme_of("BMES")
        assert bmes.decode(list("BMESBE")) == (Span(0, 3, ""), Span(3, 4, ""), Span(4, 6, ""))
        assert bmes.encode(bmes.decode(list("BMESBE")), 6) == tuple("BMESBE")


class TestReading:
    @given(tags=st.lists(st.sampled_from(["O", "B-x", "I-x", "E-x", "S-x", "B-y", "I-y", "E-y", "S-y"]), max_size=12))
    def test_as_seqeval_reads(self, tags: list[str]) -> None:
        found = [Span(start, end + 1, kind) for kind, start, end in get_entities(tags)]
        assert list(scheme_of("BIOES").decode(tags)) == found

    @pytest.mark.parametrize("name", ["IO", "IOB1", "BIO", "IOE1", "IOE"])
    def test_as_conlleval_reads(self, name: str) -> None:
        scheme = scheme_of(name)
        for tags in small_world(scheme):
            assert scheme.decode(tags) == conlleval(tags)

    @pytest.mark.parametrize(
        ("name", "theirs"),
        [
            ("BIO", seqeval_scheme.IOB2),
            ("IOE", seqeval_scheme.IOE2),
            ("BIOES", seqeval_scheme.IOBES),
            ("BILOU", seqeval_scheme.BILOU),
        ],
    )
    def test_decode_strict_is_seqevals_strict_mode(self, name: str, theirs: type) -> None:
        scheme = scheme_of(name)
        for tags in small_world(scheme):
            assert list(scheme.decode_strict(tags)) == strictly(tags, theirs)

    def test_decode_strict_in_iob1_is_seqevals_where_the_tags_are_legal(self) -> None:
        scheme = scheme_of("IOB1")
        for tags in small_world(scheme):
            if not scheme.violations(tags):
                assert list(scheme.decode_strict(tags)) == strictly(tags, seqeval_scheme.IOB1)

    @by_name
    def test_decode_strict_gives_all_spans_exactly_of_legal_sequences(self, scheme: Scheme) -> None:
        for tags in small_world(scheme):
            kept, read = scheme.decode_strict(tags), scheme.decode(tags)
            assert set(kept) <= set(read)
            assert (kept == read) == (not scheme.violations(tags))

    def test_types_with_hyphens_are_cut_at_the_first(self) -> None:
        assert scheme_of("BIO").decode(["B-a-b", "I-a-b", "I-a"]) == (Span(0, 2, "a-b"), Span(2, 3, "a"))

    @pytest.mark.parametrize("tag", ["S-x", "NN", "B-", "O-x", "b-x", "", "-x"])
    def test_foreign_tags_are_refused_with_their_place(self, tag: str) -> None:
        bio = scheme_of("BIO")
        for read in (bio.decode, bio.decode_strict, bio.legal, bio.complete, bio.types):
            with pytest.raises(TagError, match="is not a tag of BIO; expected O, or one of the letters B, I"):
                read(["O", tag])
        with pytest.raises(TagError) as caught:
            bio.decode(["O", tag])
        assert caught.value.places == ((0, 1),)
        assert [violation.position for violation in bio.violations(["O", tag, "I-x"])] == [1, 2]

    @pytest.mark.parametrize(
        ("spans", "message"),
        [
            ([Span(0, 2, "x"), Span(1, 3, "y")], "do not overlap"),
            ([Span(0, 2, "x"), Span(0, 2, "x")], "do not overlap"),
            ([Span(2, 4, "x")], "within 3 tokens"),
        ],
    )
    def test_what_no_scheme_can_hold_is_refused(self, spans: list[Span], message: str) -> None:
        for scheme in CHUNKED:
            with pytest.raises(DataError, match=message):
                scheme.encode(spans, 3)

    def test_long_sequences(self) -> None:
        tags = ["B-x", "I-x", "O", "B-y"] * 25_000
        spans = scheme_of("BIO").decode(tags)
        assert len(spans) == 50_000 and scheme_of("BIO").encode(spans, 100_000) == tuple(tags)
        assert not scheme_of("BIO").violations(tags)


@exact_by_name
@given(sentence=sentences())
@settings(max_examples=60)
def test_spans_survive_writing_and_reading(scheme: Scheme, sentence: tuple[tuple[Span, ...], int]) -> None:
    spans, length = sentence
    tags = scheme.encode(spans, length)
    assert len(tags) == length
    assert scheme.decode(tags) == scheme.decode_strict(tags) == spans
    assert not scheme.violations(tags)


@given(sentence=sentences(), names=st.tuples(*[st.sampled_from([scheme.name for scheme in EXACT])] * 2))
def test_conversion_there_and_back(sentence: tuple[tuple[Span, ...], int], names: tuple[str, str]) -> None:
    source, target = map(scheme_of, names)
    tags = source.encode(*sentence)
    assert convert(convert(tags, source, target), target, source) == tags


class TestLegality:
    @by_name
    def test_table_violations_and_rewriting_agree(self, scheme: Scheme) -> None:
        for types in (("x", "y"), ("x", "")):
            tags = inventory(scheme, types)
            for sequence in sequences(tags, 3):
                rewritten = scheme.encode(scheme.decode(sequence), len(sequence)) == sequence
                assert (not scheme.violations(sequence)) == rewritten
                assert (sequence in allowed(scheme, tags)) == rewritten

    @pytest.mark.parametrize(
        ("name", "starts", "ends", "follows"),
        [
            ("IO", "O I-x I-y", "O I-x I-y", "O I-x I-y"),
            ("IOB1", "O I-x I-y", "O B-x I-x B-y I-y", "O B-x I-x I-y"),
            ("BIO", "O B-x B-y", "O B-x I-x B-y I-y", "O B-x I-x B-y"),
            ("IOE1", "O I-x E-x I-y E-y", "O I-x I-y", "O I-x E-x I-y E-y"),
            ("IOE", "O I-x E-x I-y E-y", "O E-x E-y", "I-x E-x"),
            ("BIOES", "O B-x S-x B-y S-y", "O E-x S-x E-y S-y", "I-x E-x"),
            ("BILOU", "O B-x U-x B-y U-y", "O L-x U-x L-y U-y", "I-x L-x"),
            ("BMES", "O B-x S-x B-y S-y", "O E-x S-x E-y S-y", "M-x E-x"),
        ],
    )
    def test_tables_spelled_out(self, name: str, starts: str, ends: str, follows: str) -> None:
        """Which tags start, end, and follow the inside tag of x."""
        scheme = scheme_of(name)
        tags = inventory(scheme)
        legal = scheme.legal(tags)
        inside = legal.transitions[tags.index(scheme.tag("I", "x"))]
        for mask, expected in ((legal.start, starts), (legal.end, ends), (inside, follows)):
            assert [tag for tag, yes in zip(tags, mask, strict=True) if yes] == expected.split()

    @by_name
    def test_in_any_order_of_labels(self, scheme: Scheme) -> None:
        tags = list(inventory(scheme, ["x", "y", ""]))
        shuffled = random.Random(3).sample(tags, len(tags))
        place = [tags.index(tag) for tag in shuffled]
        legal, other = scheme.legal(tags), scheme.legal(shuffled)
        assert (legal.start[place] == other.start).all() and (legal.end[place] == other.end).all()
        assert (legal.transitions[np.ix_(place, place)] == other.transitions).all()

    @pytest.mark.parametrize(
        ("name", "tags", "position", "message"),
        [
            ("BIO", "O I-PER", 1, "I-PER opens an entity after O; BIO opens one with B-PER"),
            ("BIO", "B-LOC I-PER", 1, "I-PER opens an entity after B-LOC; BIO opens one with B-PER"),
            ("BIO", "I", 0, "I opens an entity at the start; BIO opens one with B"),
            (
                "IOB1",
                "I-x O B-x",
                2,
                "B-x opens an entity after O; IOB1 writes B-x only directly after another x entity, and I-x elsewhere",
            ),
            ("IOE", "I-x O", 0, "I-x closes an entity before O; IOE closes one with E-x"),
            (
                "IOE1",
                "I-x E-x",
                1,
                "E-x closes an entity at the end; IOE1 writes E-x only directly before another x entity, "
                "and I-x elsewhere",
            ),
            ("BILOU", "B", 0, "B closes an entity at the end; BILOU closes one with L, or U for a single token"),
            ("BMES", "M E", 0, "M opens an entity at the start; BMES opens one with B, or S for a single token"),
        ],
    )
    def test_violations_say_what_and_where(self, name: str, tags: str, position: int, message: str) -> None:
        [violation] = scheme_of(name).violations(tags.split())
        assert (violation.position, violation.message) == (position, message)

    def test_a_tag_can_violate_twice(self) -> None:
        assert [v.position for v in scheme_of("BIOES").violations(["I-x", "O", "B-x", "B-x"])] == [0, 0, 2, 3]


class TestInventories:
    def test_examples(self) -> None:
        bioes = scheme_of("BIOES")
        assert bioes.complete(["B-x", "O"]) == ("O", "B-x", "I-x", "E-x", "S-x")
        assert bioes.complete(["B-x", "O", "S-y"], minimal=True) == ("O", "B-x", "E-x", "S-y")
        assert bioes.complete(["B-x"], minimal=True) == ("B-x", "E-x", "S-x")
        assert scheme_of("BMES").complete(["M"]) == ("B", "M", "E", "S")
        assert scheme_of("BIO").complete([]) == ("O",)
        assert scheme_of("IO").types(["O", "I-b", "I-a"]) == ("a", "b")
        assert PLAIN.complete(["VB", "NN"]) == ("NN", "VB") and PLAIN.types(["B-x"]) == ()

    @by_name
    @pytest.mark.parametrize("minimal", [False, True])
    @pytest.mark.parametrize("outside", [False, True])
    def test_no_tag_is_a_dead_end_and_every_length_has_a_path(
        self, scheme: Scheme, minimal: bool, outside: bool
    ) -> None:
        for seen in inventory(scheme, ["x"]):
            given = {seen, *(["O"] if outside else [])}
            closed = scheme.complete(given, minimal=minimal)
            assert given <= set(closed)
            paths = allowed(scheme, closed)
            assert set(map(len, paths)) == {0, 1, 2, 3, 4}
            assert {tag for path in paths for tag in path} >= given
            if not minimal:
                assert {tag for path in paths for tag in path} == set(closed)

    @by_name
    def test_the_order_is_that_of_no_one(self, scheme: Scheme) -> None:
        tags = inventory(scheme, ["y", "x", ""])
        assert scheme.complete(reversed(tags)) == tags == scheme.complete(set(tags))
        assert set(scheme.complete(tags, minimal=True)) <= set(tags)

    @exact_by_name
    @given(sentence=sentences())
    @settings(max_examples=30)
    def test_all_spans_of_known_types_can_be_written(
        self, scheme: Scheme, sentence: tuple[tuple[Span, ...], int]
    ) -> None:
        tags = scheme.encode(*sentence)
        assert set(tags) <= set(scheme.complete(["O", *(scheme.tag("I", label) for label in ("x", "y", ""))]))


@by_name
@pytest.mark.parametrize("types", [("x",), ("x", "y"), ("x", "")])
def test_edges_are_the_paths_that_contain_an_entity(scheme: Scheme, types: tuple[str, ...]) -> None:
    """Over all sequences, legal or not: an entity is in the reading exactly when the path uses its edges."""
    tags = inventory(scheme, types)
    longest = 4 if len(types) == 1 else 3
    number = {tag: n for n, tag in enumerate(tags)}
    for label in types:
        edges = scheme.edges(tags, label)
        own = np.array([any(span.label == label for span in scheme.decode([tag])) for tag in tags])
        assert not edges.continues[~own].any() and not edges.continues[:, ~own].any()
        for sequence in sequences(tags, longest):
            path = [number[tag] for tag in sequence]
            length = len(path)
            found = set()
            for i in range(length):
                opened = edges.start[path[0]] if i == 0 else edges.opens[path[i - 1], path[i]]
                for j in range(i + 1, length + 1):
                    if not opened or (j > i + 1 and not edges.continues[path[j - 2], path[j - 1]]):
                        break
                    if edges.end[path[-1]] if j == length else edges.closes[path[j - 1], path[j]]:
                        found.add(Span(i, j, label))
            assert found == {span for span in scheme.decode(sequence) if span.label == label}


class TestNames:
    @pytest.mark.parametrize(
        ("spelling", "name"),
        [
            ("IOB2", "BIO"),
            ("bio", "BIO"),
            ("iob1", "IOB1"),
            ("IOE2", "IOE"),
            ("IOBES", "BIOES"),
            ("BILUO", "BILOU"),
            ("bmes", "BMES"),
            ("Plain", "plain"),
        ],
    )
    def test_any_spelling(self, spelling: str, name: str) -> None:
        assert scheme_of(spelling).name == name

    def test_names_lead_back(self) -> None:
        for scheme in SCHEMES.values():
            assert scheme_of(scheme.name) == scheme == pickle.loads(pickle.dumps(scheme))
            assert str(scheme) == scheme.name
        assert len(set(SCHEMES.values())) == len(SCHEMES)

    @pytest.mark.parametrize(
        ("wrong", "hint"), [("BIOSE", "did you mean BI"), ("plan", "did you mean plain"), ("IOB", "IOB1")]
    )
    def test_unknown_names_get_a_hint(self, wrong: str, hint: str) -> None:
        with pytest.raises(ConfigError, match=hint):
            scheme_of(wrong)

    def test_unknown_names_get_the_list(self) -> None:
        with pytest.raises(ConfigError, match="known are IO, IOB1, BIO"):
            scheme_of("xyzzy")


class TestPlain:
    def test_plain_tags_are_no_spans(self) -> None:
        tags = ["DT", "B-x", "O"]
        assert PLAIN.decode(tags) == PLAIN.decode_strict(tags) == () and not PLAIN.violations(tags)
        legal = PLAIN.legal(tags)
        assert legal.start.all() and legal.end.all() and legal.transitions.all() and legal.transitions.shape == (3, 3)
        edges = PLAIN.edges(tags, "x")
        assert not edges.start.any() and not edges.opens.any() and not edges.end.any()
        assert repair(tags, PLAIN, "drop") == tuple(tags) == convert(tags, PLAIN, PLAIN)

    def test_plain_tags_and_spans_do_not_convert(self) -> None:
        bio = scheme_of("BIO")
        with pytest.raises(DataError, match="plain tags cannot be made from spans"):
            convert(["O"], bio, PLAIN)
        with pytest.raises(DataError, match="plain tags have no spans"):
            convert(["O"], PLAIN, bio)
        with pytest.raises(DataError, match="plain tags cannot"):
            PLAIN.encode([Span(0, 1, "x")], 1)


class TestRepairs:
    @pytest.mark.parametrize(
        ("name", "tags", "conlleval", "drop"),
        [
            ("BIO", "I-x I-x B-y O I-y", "B-x I-x B-y O B-y", "O O B-y O O"),
            ("BIO", "B-x I-y I-y", "B-x B-y I-y", "B-x O O"),
            ("IOB1", "B-x I-x O I-y", "I-x I-x O I-y", "O O O I-y"),
            ("IOE", "I-x I-x O E-x", "I-x E-x O E-x", "O O O E-x"),
            ("BIOES", "B-x I-x O S-y E-y", "B-x E-x O S-y S-y", "O O O S-y O"),
            ("BILOU", "B-x B-x L-x I-x", "U-x B-x L-x U-x", "O B-x L-x O"),
        ],
    )
    def test_examples(self, name: str, tags: str, conlleval: str, drop: str) -> None:
        for policy, expected in (("conlleval", conlleval), ("drop", drop)):
            assert repair(tags.split(), scheme_of(name), policy) == tuple(expected.split())

    @by_name
    @pytest.mark.parametrize("policy", REPAIR_POLICIES)
    def test_legal_afterwards_and_only_once(self, scheme: Scheme, policy: str) -> None:
        for tags in small_world(scheme):
            repaired = repair(tags, scheme, policy)
            assert not scheme.violations(repaired)
            assert repair(repaired, scheme, policy) == repaired
            if not scheme.violations(tags):
                assert repaired == tags
            if policy == "conlleval":
                assert scheme.decode(repaired) == scheme.decode(tags)

    def test_refusals(self) -> None:
        bio = scheme_of("BIO")
        with pytest.raises(ConfigError, match="unknown repair 'guess'; known are conlleval, drop"):
            repair(["O"], bio, "guess")
        with pytest.raises(TagError, match="not a tag of BIO"):
            repair(["X"], bio, "drop")
        with pytest.raises(TagError, match="repair the tags before converting") as caught:
            convert(["O", "I-x"], bio, scheme_of("BIOES"))
        assert caught.value.places == ((0, 1),)


def corpus_in(scheme: Scheme, seed: int = 0) -> list[tuple[str, ...]]:
    """Random sentences with single tokens, long entities and, but for IO, neighbours of one type."""
    chance = random.Random(seed)
    corpus = []
    for _ in range(30):
        spans, place = [], 0
        for _ in range(4):
            start = place + chance.choice([1] if scheme.name == "IO" else [0, 1])
            place = start + chance.choice([1, 2, 4])
            spans.append(Span(start, place, chance.choice("xy")))
        corpus.append(scheme.encode(spans, place + 1))
    return corpus


class TestDetection:
    @by_name
    def test_every_scheme_is_found(self, scheme: Scheme) -> None:
        for seed in range(5):
            assert detect(corpus_in(scheme, seed)) == scheme
        assert detect(iter(corpus_in(scheme))) == scheme

    @exact_by_name
    def test_bare_letters_too(self, scheme: Scheme) -> None:
        bare = [[tag.partition("-")[0] for tag in tags] for tags in corpus_in(scheme)]
        mended = [repair(tags, scheme, "conlleval") for tags in bare]
        assert detect(mended) == scheme

    @pytest.mark.parametrize(
        ("tags", "name"),
        [
            ("", "BIO"),
            ("O O", "BIO"),
            ("I-x O I-y", "IO"),
            ("B-x O B-y", "BIO"),
            ("B-x I-x O", "BIO"),
            ("I-x B-x O I-y", "IOB1"),
            ("E-x O", "IOE"),
            ("I-x E-x E-x", "IOE"),
            ("I-x E-x I-x O I-y", "IOE1"),
            ("S-x O", "BIOES"),
            ("B-x E-x", "BIOES"),
            ("U-x O", "BILOU"),
            ("B-x L-x", "BILOU"),
            ("B M E S B E", "BMES"),
            ("B I E S B E", "BIOES"),
            ("B I I B O", "BIO"),
            ("I I O", "IO"),
        ],
    )
    def test_where_letters_leave_a_choice(self, tags: str, name: str) -> None:
        assert detect([tags.split()]).name == name

    @pytest.mark.parametrize(
        "tags",
        [
            "DT NN VB",
            "PER O O LOC",
            "I S O E",
            "S O",
            "B O S I",
            "E O",
            "NN-HL NN S-2",
            "B-x I-x NN-HL VB PUNCT",
            "b-per i-per O",
            "B- I- O",
            "O-x O",
            "PERSON O E-mail O O O",
            "M I B",
            "U S B",
            "1 2 3",
        ],
    )
    def test_other_tags_are_plain(self, tags: str) -> None:
        assert detect([tags.split()]).plain

    def test_one_type_in_letters_decides_by_the_set(self) -> None:
        assert detect([["S-2", "O", "S-1"]]).name == "BIOES"
        assert detect([["S-2", "NN", "S-1"], ["VB"]]).plain

    @exact_by_name
    def test_a_few_illegal_sequences_do_not_hide_the_scheme(self, scheme: Scheme) -> None:
        corpus = corpus_in(scheme)
        corpus[3] = tuple(tag.replace("O", scheme.tag("I", "z")) for tag in corpus[3])
        opening = scheme.tag("B" if "B" in scheme.letters else "E", "z")
        corpus.append((opening, "O", opening))
        assert any(map(scheme.violations, corpus))
        assert detect(corpus) == scheme

    @pytest.mark.parametrize(
        ("corpus", "places", "message"),
        [
            (
                ["O B-x I-x", "O I-y"],
                ((1, 1), (0, 1)),
                r"I-y opens .* BIO opens one with B-y \(sentence 2, token 2\), "
                r"but B-x opens .* IOB1 .*\(sentence 1, token 2\)",
            ),
            (["B-x I-x O", "S-y"], ((0, 1), (1, 0)), r"I-x closes .* BIOES .* but S-y makes it BIOES"),
            (["B-x M-x", "I-x"], ((1, 0), (0, 1)), "I-x is not a tag of BMES .* but M-x is a tag of BMES"),
            (["S-x", "O U-x"], ((0, 0), (1, 1)), "S-x is not a tag of BILOU .* but U-x is a tag of BILOU"),
            (["I-x E-x", "I-x E-x O B-x O"], ((0, 0), (0, 1)), "I-x opens .* but E-x makes it BIOES"),
            (["I-x E-x I-x", "O E-x"], ((0, 2), (1, 1)), "IOE closes one with E-x .* IOE1 writes E-x only"),
            (["B-x I-x O O PER"], ((0, 4), (0, 0)), "PER is not a span tag .* but B-x is a span tag"),
        ],
    )
    def test_mixed_schemes_name_two_tags(self, corpus: list[str], places: tuple[object, ...], message: str) -> None:
        with pytest.raises(TagError, match=f"the tags mix schemes: .*{message}") as caught:
            detect([tags.split() for tags in corpus])
        assert caught.value.places == places

    @pytest.mark.parametrize(("one", "other"), [*permutations(WRITTEN, 2)])
    def test_two_halves_in_two_schemes_are_refused(self, one: str, other: str) -> None:
        corpus = corpus_in(scheme_of(one)) + corpus_in(scheme_of(other))
        with pytest.raises(TagError, match="the tags mix schemes"):
            detect(corpus)


def strictly(tags: Sequence[str], theirs: type) -> list[Span]:
    found = seqeval_scheme.Tokens(list(tags), theirs).entities
    # seqeval names the type of a bare letter _
    return [Span(entity.start, entity.end, entity.tag.strip("_")) for entity in found]


def conlleval(tags: Sequence[str]) -> tuple[Span, ...]:
    """The chunks that conlleval counts, pair by pair as its endOfChunk and startOfChunk list them (no brackets)."""
    ends = {"BB", "BO", "IB", "IO", "EE", "EI", "EO"}
    starts = {"BB", "IB", "OB", "OI", "EE", "EI", "OE"}
    spans, start = [], -1
    letters = ["O", *(tag[0] for tag in tags), "O"]
    types = ["", *(tag[2:] for tag in tags), ""]
    for n in range(1, len(letters)):
        before, letter, changed = letters[n - 1], letters[n], types[n - 1] != types[n]
        if before + letter in ends or (before != "O" and changed):
            spans.append(Span(start, n - 1, types[n - 1]))
        if before + letter in starts or (letter != "O" and changed):
            start = n - 1
    return tuple(spans)
