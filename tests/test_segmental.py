"""The segments head against enumeration of all segmentations, in every scheme; longest segments; what users get."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import miniature
import numpy as np
import oracles
import pytest
import torch
from torch import nn

from structseq.data.example import Example
from structseq.data.reading import Corpus
from structseq.errors import ConfigError
from structseq.heads.segmental import LENGTHS, SegmentsHead
from structseq.inference import Tagger
from structseq.padded import Padded
from structseq.spans import SCHEMES, Scheme, Span, TagSet, convert, scheme_of
from structseq.structures.chain import TagDistribution
from structseq.structures.tagged_segments import TaggedSegments
from structseq.training import train, usable_examples

WIDTH = 3
BIO = scheme_of("BIO")
TYPED = [name for name in SCHEMES if name != "plain"]
# (scheme of the files, scheme learned inside)
PAIRS = [(name, "auto") for name in TYPED] + [("BIO", "BIOES"), ("IOB1", "BIO"), ("BIOES", "IOE1")]
Spans = tuple[Span, ...]


def tag_set(file_scheme: str, model_scheme: str = "auto", types: str = "xy") -> TagSet:
    """All tags of the types."""
    scheme = scheme_of(file_scheme)
    rows = [[Span(0, 3, label)] for label in types] + [[Span(0, 1, label)] for label in types]
    if file_scheme != "IO":
        rows += [[Span(0, 1, label), Span(1, 3, label), Span(3, 4, label)] for label in types]
    return TagSet.of([scheme.encode(spans, 5) for spans in rows], scheme, model_scheme)


def head_of(tags: TagSet, seed: int = 0, longest: int | None = None) -> SegmentsHead:
    torch.manual_seed(seed)
    head = SegmentsHead(WIDTH, tags, longest=longest)
    for parameter in head.parameters():
        nn.init.normal_(parameter)
    return head.double().requires_grad_(False)


def states_of(*lengths: int, seed: int = 0) -> Padded:
    generator = torch.Generator().manual_seed(seed)
    return Padded.of([torch.randn(n, WIDTH, generator=generator, dtype=torch.float64) for n in lengths])


# -- the oracle: it writes every segmentation down --------------------------------------------------------------------


def segmentations(length: int, types: str, longest: int, start: int = 0) -> Iterator[Spans]:
    """Every set of entities of at most ``longest`` tokens."""
    if start == length:
        yield ()
        return
    yield from segmentations(length, types, longest, start + 1)
    for end in range(start + 1, min(start + longest, length) + 1):
        for label in types:
            for rest in segmentations(length, types, longest, end):
                yield (Span(start, end, label), *rest)


def apart(spans: Spans) -> bool:
    """Whether IO can hold them: none touches another of its type."""
    return not any(a.end == b.start and a.label == b.label for a, b in itertools.pairwise(spans))


def score(head: SegmentsHead, states: np.ndarray, spans: Spans) -> float:
    """Emissions, edges, lengths and transitions added up, from the head's own weights."""
    weights = {name: value.detach().numpy() for name, value in head.state_dict().items()}
    inside = {t for span in spans for t in range(span.start, span.end)}
    parts = sorted([*spans, *(Span(t, t + 1, "O") for t in range(len(states)) if t not in inside)])
    total, before = 0.0, None
    for start, end, label in ((part.start, part.end, part.label) for part in parts):
        k = head.names.index(label)
        total += float((states[start:end] @ weights["emission.weight"][k] + weights["emission.bias"][k]).sum())
        vector = (
            weights["first.weight"] @ states[start] + weights["first.bias"] + weights["last.weight"] @ states[end - 1]
        )
        vector += weights["size"][sum(end - start > most for most in LENGTHS)]
        total += float(weights["whole.weight"][k] @ np.maximum(vector, 0) + weights["whole.bias"][k])
        total += float(weights["start"][k] if before is None else weights["transitions"][before, k])
        before = k
    return total + (0.0 if before is None else float(weights["end"][before]))


class Truth(NamedTuple):
    """One row: its segmentations with their probabilities."""

    shares: dict[Spans, float]

    def of_span(self, span: Span) -> float:
        return math.fsum(share for spans, share in self.shares.items() if span in spans)

    def of_tag(self, scheme: Scheme, length: int, place: int, tag: str) -> float:
        return math.fsum(p for spans, p in self.shares.items() if scheme.encode(spans, length)[place] == tag)


def truth_of(head: SegmentsHead, states: np.ndarray, longest: int = 9) -> Truth:
    io = head.tags.file_scheme.name == "IO"
    every = [s for s in segmentations(len(states), "xy", longest) if apart(s) or not io]
    scores = [score(head, states, spans) for spans in every]
    log_z = oracles.log_sum(scores)
    return Truth({spans: math.exp(each - log_z) for spans, each in zip(every, scores, strict=True)})


@pytest.mark.parametrize(
    ("file_scheme", "model_scheme", "longest"),
    [*((*pair, None) for pair in PAIRS), ("BIO", "auto", 2), ("BIOES", "auto", 2), ("IO", "auto", 2)],
)
def test_every_verb_against_enumeration(file_scheme: str, model_scheme: str, longest: int | None) -> None:
    tags = tag_set(file_scheme, model_scheme)
    head, states = head_of(tags, longest=longest), states_of(4, 2, 0, 3)
    found = head(states)
    best, marginals, log_z = found.best(), found.marginals(), found.log_partition()
    lengths = states.lengths.tolist()
    truths = [truth_of(head, states.values[b, :n].numpy(), longest or 9) for b, n in enumerate(lengths)]
    for each in itertools.zip_longest(*(truth.shares.items() for truth in truths), fillvalue=None):
        target, given = torch.zeros(4, 4, dtype=torch.int64), [b for b, answer in enumerate(each) if answer]
        for b in given:
            numbers = tags.encode(tags.file_scheme.encode(each[b][0], lengths[b]))
            target[b, : lengths[b]] = torch.tensor(numbers, dtype=torch.int64)
        shares = found.log_prob(target).exp().tolist()
        assert [shares[b] for b in given] == pytest.approx([each[b][1] for b in given], abs=1e-9)
    for row, (length, truth) in enumerate(zip(lengths, truths, strict=True)):
        top = max(truth.shares, key=lambda spans: truth.shares[spans])
        assert tags.file_scheme.decode(tags.decode(best.path[row, :length].tolist())) == top
        assert float(best.score[row] - log_z[row]) == pytest.approx(math.log(truth.shares[top]), abs=1e-9)
        for place, k in itertools.product(range(length), range(len(tags.labels))):
            expected = truth.of_tag(tags.model_scheme, length, place, tags.labels[k])
            assert float(marginals[row, place, k]) == pytest.approx(expected, abs=1e-9)
        queries = [(s, e, n) for s in range(length) for e in range(s + 1, length + 1) for n in range(2)]
        sure = found.span_probabilities([(row, *span) for span in queries], tags.edges())
        assert sure.dtype == torch.float64 and sure.shape == (len(queries),)
        for (start, end, n), probability in zip(queries, sure.tolist(), strict=True):
            assert probability == pytest.approx(truth.of_span(Span(start, end, tags.types[n])), abs=1e-9)
    assert not marginals[~states.mask()].any()


def test_a_head_without_training_gives_a_tag_distribution() -> None:
    found = head_of(tag_set("BIO"))(states_of(3))
    assert isinstance(found, TagDistribution) and found.calibrated
    assert found.span_probabilities([], []).shape == (0,)


@pytest.mark.parametrize("longest", (None, 2))
@pytest.mark.parametrize(("file_scheme", "model_scheme"), PAIRS)
def test_tags_without_a_segmentation_have_probability_zero(
    file_scheme: str, model_scheme: str, longest: int | None
) -> None:
    tags = tag_set(file_scheme, model_scheme)
    paths = list(itertools.product(range(len(tags.labels)), repeat=3))
    states = Padded(states_of(3).values.expand(len(paths), -1, -1), torch.tensor([3] * len(paths)))
    shares = head_of(tags, longest=longest)(states).log_prob(torch.tensor(paths)).exp()
    for path, share in zip(paths, shares.tolist(), strict=True):
        written = [tags.labels[k] for k in path]
        fits = all(span.end - span.start <= (longest or 3) for span in tags.model_scheme.decode(written))
        assert (share > 0) == (fits and not tags.model_scheme.violations(written))
    assert float(shares.sum()) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("file_scheme", [name for name in TYPED if name != "IO"])
def test_the_scheme_of_the_files_changes_nothing(file_scheme: str) -> None:
    """The same weights say the same of every entity."""
    gold = ("B-x", "B-x", "I-x", "O", "B-y", "I-y", "I-y")
    states, found = states_of(7), []
    for scheme in (BIO, scheme_of(file_scheme)):
        head = head_of(tag_set(scheme.name))
        target = torch.tensor([head.tags.encode(convert(gold, BIO, scheme))])
        sure = head(states).span_probabilities([(0, 1, 3, 0), (0, 4, 7, 1), (0, 0, 7, 0)], head.tags.edges())
        found.append(torch.cat([head.loss(states, target).detach(), sure]))
    torch.testing.assert_close(*found)


def test_plain_tags_are_segments_of_one_token() -> None:
    tags = TagSet.of([["DT", "NN", "VB"]], scheme_of("plain"))
    head, states = head_of(tags), states_of(3, 1)
    found = head(states)
    every = list(itertools.product(range(3), repeat=3))
    shares = torch.stack([found.log_prob(torch.tensor([path, path]))[0] for path in every]).exp()
    assert float(shares.sum()) == pytest.approx(1.0, abs=1e-9)
    for place, k in itertools.product(range(3), range(3)):
        expected = float(shares[[path[place] == k for path in every]].sum())
        assert float(found.marginals()[0, place, k]) == pytest.approx(expected, abs=1e-9)
    assert found.segments.scores.shape[2] == 1 and head.bias_candidates() == ()


def test_a_type_has_only_the_lengths_that_its_tags_can_write() -> None:
    """The tag set of BIOES holds what training needs: here y of one token, and x of one or two."""
    tags = TagSet.of([["S-y", "O", "B-x", "E-x"]], scheme_of("BIOES"))
    found = head_of(tags)(states_of(4))
    sizes = found.segments.marginals().sum((0, 1)) > 0  # (S, V)
    assert [found.forms.types[form].item() for form in range(sizes.shape[1])] == [0, 1, 2]
    assert sizes.T.tolist() == [[True, *[False] * 3], [False, True, False, False], [True, *[False] * 3]]


# -- the longest segment ----------------------------------------------------------------------------------------------

SENTENCES = [["B-x", "I-x", "I-x", "O"], ["O", "B-y"], ["B-x", "I-x"], []]
EXAMPLES = [Example.of([f"w{n}" for n in range(len(tags))], tags) for tags in SENTENCES]


def test_the_longest_entity_of_the_training_data_is_learned_or_given() -> None:
    tags = TagSet.of(SENTENCES, BIO)
    learned, given = SegmentsHead(WIDTH, tags), SegmentsHead(WIDTH, tags, longest=2)
    for head in (learned, given):
        head.prepare(EXAMPLES)
    assert (int(learned.longest), int(given.longest)) == (3, 2)
    assert learned(states_of(9, 1).with_values(torch.zeros(2, 9, WIDTH))).segments.scores.shape[2] == 3
    assert [head.target(EXAMPLES[0]) for head in (learned, given)] == [[1, 2, 2, 0], None]
    assert given.target(EXAMPLES[2]) == learned.target(EXAMPLES[2]) == [1, 2]
    learned.prepare([EXAMPLES[3]])
    assert int(learned.longest) == 1
    fresh = SegmentsHead(WIDTH, tags)
    fresh.load_state_dict(given.state_dict())
    assert fresh.target(EXAMPLES[0]) is None, "the longest is part of the weights"


def test_a_longest_below_one_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"head\.longest: expected a whole number from 1 on, found 0"):
        SegmentsHead(WIDTH, tag_set("BIO"), longest=0)


def test_lengths_share_their_scores_as_set() -> None:
    head = head_of(TagSet.of([["B-x", "I-x"]], BIO))
    for parameter in head.parameters():
        parameter.zero_()
    head.size.copy_(torch.arange(len(head.size)).unsqueeze(1))
    head.whole.weight.fill_(1 / head.size.shape[1])
    scores = head(states_of(200)).segments.scores[0, 0].max(1).values.tolist()
    assert [scores[n - 1] for n in (1, 2, 3, 4, 5, 6, 7, 192, 193, 200)] == [0, 1, 2, 3, 4, 4, 5, 14, 15, 15]


# -- what users get ---------------------------------------------------------------------------------------------------

# Two types, of which x touches itself but where IO is to hold it
TRAIN = [
    ("from New York Boston", [Span(1, 3, "x"), Span(3, 4, "x")]),
    ("May 2nd to Oslo", [Span(0, 2, "y"), Span(3, 4, "x")]),
    ("hello", []),
    ("to Oslo from New York", [Span(1, 2, "x"), Span(3, 5, "x")]),
]


def examples_in(scheme: Scheme) -> tuple[Example, ...]:
    made = []
    for text, spans in TRAIN:
        tokens = text.split()
        if scheme.plain:
            tags: tuple[str, ...] = tuple("NN" if token[0].isupper() else "IN" for token in tokens)
        else:
            tags = scheme.encode(spans[-1:] if scheme.name == "IO" else spans, len(tokens))
        made.append(Example.of(tokens, tags, pos=["N"] * len(tokens)))
    return tuple(made) * 3


@pytest.mark.parametrize("name", ("BIO", "IOB1", "plain"))
def test_a_tagger_is_trained_saved_and_loaded(name: str, tmp_path: Path) -> None:
    scheme = scheme_of(name)
    examples = examples_in(scheme)
    options = {"head": {"type": "segments"}, "training": {"epochs": 30}}
    model = miniature.model(options, examples=examples, scheme=name)
    for _ in train(model, Corpus(examples, examples), seed=0):
        pass
    tagger = Tagger(model)
    tagger.save(tmp_path / "model")
    again = Tagger.load(tmp_path / "model")
    assert int(again.model.head.longest) == (1 if name == "plain" else 2)
    answers = list(tagger.tag_many(examples[:4], marginals=True))
    assert [answer.tags for answer in answers] == [example.tags for example in examples[:4]]
    for answer, other in zip(answers, again.tag_many(examples[:4], marginals=True), strict=True):
        assert answer == other
        assert answer.confidence is not None and answer.marginals is not None
        assert all(0 < sure <= 1 for sure in answer.confidence)
        for tag, marginals in zip(answer.tags, answer.marginals, strict=True):
            assert tuple(marginals) == tagger.labels
            assert marginals[tag] > 0 and sum(marginals.values()) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("name", ("BIO", "BIOES", "IOB1", "IO"))
def test_confidences_and_marginals_in_the_users_scheme_are_exact(name: str) -> None:
    scheme = scheme_of(name)
    model = miniature.model({"head": {"type": "segments"}}, examples=examples_in(scheme), scheme=name)
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter.requires_grad_(False), std=0.4)
    model.head.transitions[:, 0] -= 2  # away from O
    tagger, compared = Tagger(model), 0
    for tokens in (["May", "York", "Boston"], ["from", "Oslo"], ["2nd", "New", "hello"]):
        answer = tagger.tag(tokens, marginals=True)
        distribution = model.distribution(model.inputs.encode([Example.of(tokens)]))
        assert isinstance(distribution, TaggedSegments) and answer.marginals is not None
        known = {tags: model.tags.encode(tags) for tags in itertools.product(model.tags.labels, repeat=len(tokens))}
        found = {tags: distribution.log_prob(torch.tensor([n])) for tags, n in known.items() if n is not None}
        shares = {tags: float(each.exp()) for tags, each in found.items()}
        assert sum(shares.values()) == pytest.approx(1.0, abs=1e-5)
        assert answer.tags == max(shares, key=lambda tags: shares[tags])
        for span in answer.spans:
            own = Span(span.start, span.end, span.label)
            expected = sum(share for tags, share in shares.items() if own in scheme.decode(tags))
            assert span.confidence == pytest.approx(expected, abs=1e-5)
            compared += 1
        for place, marginals in enumerate(answer.marginals):
            for tag, share in marginals.items():
                assert share == pytest.approx(sum(p for tags, p in shares.items() if tags[place] == tag), abs=1e-5)
    assert compared


def test_the_files_scheme_is_the_one_inside() -> None:
    """Segments are the same in any scheme, so that none can be chosen."""
    with pytest.raises(ConfigError, match=r"head\.scheme: the head segments has no such option"):
        miniature.model({"head": {"type": "segments", "scheme": "BIOES"}})


def test_sentences_with_a_longer_entity_are_left_out_of_training() -> None:
    examples = examples_in(BIO)
    model = miniature.model({"head": {"type": "segments"}}, examples=examples)
    model.head.longest.fill_(1)
    kept, _ = usable_examples(model, examples)
    assert kept == [e for e in examples if all(s.end - s.start == 1 for s in BIO.decode(e.tags))] and kept
