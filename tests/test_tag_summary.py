"""A summary of tags says what the tags say: entities, violations, tags in another scheme."""

from __future__ import annotations

from collections import Counter
from itertools import chain, islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structseq.errors import DataError
from structseq.spans import SCHEMES, Scheme, TagError, repair, scheme_of
from structseq.spans.detection import count_illegal, detect_in
from structseq.spans.summary import KEPT, TagSummary

SPANS = [scheme for scheme in SCHEMES.values() if not scheme.plain]
schemes = st.sampled_from(SPANS)


def corpora(scheme: Scheme) -> st.SearchStrategy[list[list[str]]]:
    tags = [f"{letter}-{kind}" for letter in scheme.letters for kind in "xy"] + [*scheme.letters]
    tag = st.sampled_from(tags) | st.just("O")
    return st.lists(st.lists(tag, max_size=8), max_size=12)


@settings(max_examples=100)
@given(scheme=schemes, data=st.data())
def test_entities_and_violations_are_those_of_the_sequences(scheme: Scheme, data: st.DataObject) -> None:
    corpus = data.draw(corpora(scheme)) * data.draw(st.sampled_from([1, 1, 7]))
    summary = TagSummary.of(corpus)
    spans = [span for tags in corpus for span in scheme.decode(tags)]
    assert summary.counts == Counter(chain.from_iterable(corpus))
    assert [*summary.entities.items()] == [*Counter(span.label for span in spans).items()]
    violations = [(number, each) for number, tags in enumerate(corpus) for each in scheme.violations(tags)]
    legal = sum(len(scheme.decode_strict(tags)) for tags in corpus)
    assert summary.illegal(scheme) == (len(spans) - legal, len(violations))
    assert [*summary.violations(scheme)] == violations[:KEPT]


@settings(max_examples=100)
@given(scheme=schemes, target=schemes, data=st.data())
def test_tags_in_another_scheme(scheme: Scheme, target: Scheme, data: st.DataObject) -> None:
    corpus = data.draw(corpora(scheme))
    summary = TagSummary.of(corpus)

    def converted() -> set[str]:
        return {tag for tags in corpus for tag in target.encode(scheme.decode(tags), len(tags))}

    try:
        expected = converted()
    except DataError:
        with pytest.raises(DataError, match="IO cannot keep"):
            summary.rewritten(target)
        spans = [scheme.decode(tags) for tags in corpus]
        touching = [any(a.end == b.start and a.label == b.label for a, b in pairwise(s)) for s in spans]
        assert summary.touching() == touching.index(True)
    else:
        assert summary.rewritten(target) == expected


@given(st.data())
def test_two_summaries_are_the_summary_of_both(data: st.DataObject) -> None:
    scheme = scheme_of(data.draw(st.sampled_from(["IOB1", "BIOES"])))
    one, other = data.draw(corpora(scheme)), data.draw(corpora(scheme))
    both, whole = TagSummary.of(one) + TagSummary.of(other), TagSummary.of(one + other)
    assert (both.counts, both.first, both.places) == (whole.counts, whole.first, whole.places)
    assert both.entities == whole.entities and both.illegal(scheme) == whole.illegal(scheme)
    assert [*both.violations(scheme)] == [*whole.violations(scheme)]


def test_a_tag_of_no_scheme_ends_the_search_for_entities() -> None:
    summary = TagSummary.of([["O", "B-x"], ["B-x", "NN"]])
    assert summary.foreign and detect_in(summary).plain
    with pytest.raises(TagError, match="'NN' is not a tag of BIO") as caught:
        count_illegal(summary, scheme_of("BIO"))
    assert caught.value.places == ((1, 1),)


def test_memory_does_not_grow_with_the_corpus() -> None:
    sentences = [["O"] * n + ["B-x", "I-x"] + ["O", "I-y"] * (n % 2) for n in range(50)]
    summary = TagSummary.of(islice((tags for _ in range(400) for tags in sentences), 20_000))
    assert len(summary.shown) <= 2 * KEPT and summary.illegal(scheme_of("BIO")) == (10_000, 10_000)


def test_repaired_tags_are_those_of_the_same_entities() -> None:
    bio, tags = scheme_of("BIO"), ["I-x", "I-x", "O", "I-y"]
    assert TagSummary.of([tags]).rewritten(bio) == set(repair(tags, bio, "conlleval"))
