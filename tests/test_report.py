"""The report page: what it says, that foreign text stays text, and that it asks for nothing from anywhere."""

from __future__ import annotations

import random
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structseq.report import write_page
from structseq.report.drawing import inline_svg
from structseq.report.excerpt import excerpt_of
from structseq.report.figures import curves_figure, lines_of, scores_figure, shared_limits, transitions_figure
from structseq.report.formatting import duration, interval, p_value, percent, visible
from structseq.report.page import ranked, render_page
from structseq.report.transitions import transition_table

ENCODERS = ("lstm", "elman", "jordan", "gru", "lstm_peephole", "clockwork", "scrn", "attention")
HOSTILE = ("<script>alert(1)</script>", '" onload=x', "'><img src=x onerror=y>", "{{ 7 * 7 }}", "$x^2$", "&amp;")
CHINESE = ("我", "想", "買", "台北", "到", "東京", "的", "機票", "，", "十一月", "二日")
ENGLISH = (
    "i",
    "would",
    "like",
    "to",
    "fly",
    "from",
    "Boston",
    "to",
    "New",
    "York",
    "on",
    "Monday",
    "morning",
    "please",
)


def tags_of(how_many: int) -> list[str]:
    types = [f"type_{i}.name" for i in range((how_many + 1) // 2)]
    return ["O", *(f"{letter}-{name}" for name in types for letter in "BI")][:how_many]


def scores(rng: random.Random, mean: float, seeds: list[int]) -> dict[str, Any]:
    each = [min(1.0, max(0.0, rng.gauss(mean, 0.004))) for _ in seeds]
    found = sum(each) / len(each)
    sd = float(np.std(each, ddof=1)) if len(each) > 1 else None
    return {"mean": found, "sd": sd, "interval": [found - 0.012, min(1.0, found + 0.010)], "each": each}


def curve(rng: random.Random, seed: int, reached: float, epochs: int) -> dict[str, Any]:
    records = []
    for epoch in range(1, epochs + 1):
        share = 1 - 0.9 * 0.7**epoch
        dev = max(0.0, reached * share + rng.gauss(0, 0.004))
        records.append({"epoch": epoch, "loss": 9.0 * 0.75**epoch + 0.05, "dev": dev, "seconds": 3.2})
    return {"seed": seed, "best_epoch": epochs - 2, "epochs": records}


def transitions(rng: random.Random, tags: list[str]) -> dict[str, Any]:
    def score(one: str, other: str) -> float | None:
        if other.startswith("I-") and one[2:] != other[2:]:
            return None
        return round(rng.gauss(1.0 if other.startswith("I-") else -0.5, 1.1), 4)

    return {
        "tags": tags,
        "scores": [[score(one, other) for other in tags] for one in tags],
        "start": [None if tag.startswith("I-") else rng.gauss(0, 1) for tag in tags],
        "end": [rng.gauss(0, 1) for _ in tags],
    }


def error(rng: random.Random, number: int, words: tuple[str, ...], tags: list[str]) -> dict[str, Any]:
    tokens = [rng.choice(words) for _ in range(rng.randint(3, 40))]
    start = rng.randrange(len(tokens))
    end = min(len(tokens), start + rng.randint(1, 3))
    kind = ("type", "boundary", "boundary and type", "missed", "spurious")[number % 5]
    gold, predicted = rng.choice(tags)[2:] or "city", rng.choice(tags)[2:] or "time"
    return {
        "confidence": 1 - 0.01 * number, "source": f"test.conll:{12 * number + 1}", "tokens": tokens,
        "start_token": start, "end_token": end, "kind": kind,
        "gold": None if kind == "spurious" else gold, "predicted": None if kind == "missed" else predicted,
    }  # fmt: skip


def comparison(
    *,
    encoders: int = 1,
    heads: tuple[str, ...] = ("crf", "softmax"),
    seeds: tuple[int, ...] = (0, 1, 2),
    tags: int = 5,
    words: tuple[str, ...] = ENGLISH,
    test: bool = True,
    epochs: int = 15,
    errors: int = 20,
) -> dict[str, Any]:
    """A made-up comparison, complete; tests take away from it what they want missing."""
    rng = random.Random(7)
    labels = tags_of(tags)
    systems: list[dict[str, Any]] = []
    for head in heads:
        for place, encoder in enumerate(ENCODERS[:encoders]):
            mean = 0.955 - 0.006 * place - (0.01 if head == "softmax" else 0)
            against = {
                "difference": -0.006 * place - 0.001,
                "interval": [-0.01, 0.001],
                "p": 0.02,
                "p_holm": 0.04 * place,
            }
            systems.append(
                {
                    "name": f"{encoder} + {head}", "encoder": encoder, "head": head,
                    "settings": {"encoder": {"type": encoder}, "head": {"type": head}},
                    "parameters": 312_456 + 10_000 * place, "seeds": list(seeds),
                    "dev": scores(rng, mean + 0.01, list(seeds)),
                    "test": scores(rng, mean, list(seeds)) if test else None,
                    "training_seconds": 48.2 + 100 * place, "training_tokens_per_second": 21_000.0,
                    "tagging_tokens_per_second": 85_000.0,
                    "against_best": against if systems else None,
                    "curves": [curve(rng, seed, mean, epochs) for seed in seeds],
                    "transitions": transitions(rng, labels) if head == "crf" else None,
                    "errors": [error(rng, i, words, labels) for i in range(errors)],
                }
            )  # fmt: skip
    part = {"file": "corpora/flights/train.conll", "sentences": 4478, "tokens": 50_497}
    return {
        "corpus": {"train": part, "dev": part, "test": part if test else None, "scheme": "BIO"},
        "score": "entity F1", "signature": "conlleval|scheme:BIO|structseq:0.1.0",
        "judged_on": "test" if test else "dev",
        "options": {"inputs": {"words": {"width": 100}}, "training": {"epochs": epochs, "clip": 5.0}},
        "seeds": list(seeds), "encoders": list(ENCODERS[:encoders]), "heads": list(heads),
        "best": systems[0]["name"] if systems else None,
        "systems": systems, "failed": [],
        "versions": {"structseq": "0.1.0", "torch": "2.9.0", "python": "3.11.2"},
    }  # fmt: skip


class Reader(HTMLParser):
    """Elements, attributes, identifiers and text of a page, and whether every element was closed."""

    VOID = frozenset({"meta", "link", "br", "img", "hr", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.texts))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def read(given: dict[str, Any]) -> Reader:
    return Reader(render_page(given))


def assert_inert(found: Reader) -> None:
    """One script, the page's own; no handler in any attribute; nothing is fetched."""
    assert len(found.all("script")) == 1
    for tag, attributes in found.elements:
        assert tag not in ("iframe", "object", "embed", "link", "form", "base")
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("href", "src", "xlink:href", "action", "poster", "srcset"):
                assert value and (value.startswith("#") or value.startswith("data:image/png;base64,")), value
            if name != "data-cells":
                assert not re.search(r"url\(\s*['\"]?(?!#)", value or ""), value


@cache
def default_page() -> str:
    return render_page(comparison())


def test_the_page_is_written_whole_and_read_back(tmp_path: Path) -> None:
    given = comparison()
    write_page(given, tmp_path / "report.html")
    assert given == comparison()
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text == default_page()
    found = Reader(text)
    assert_inert(found)
    for part in ("Results", "Scores", "Learning curves", "Learned transitions", "Most confident errors", "Options"):
        assert part in found.text


def test_a_caution_takes_the_place_of_the_verdict() -> None:
    given = comparison(encoders=1) | {"cautions": ["the last epoch was the best of x"]}
    text = read(given).text
    assert "No winner: the last epoch was the best of x." in text and "significantly" not in text
    assert "has the best entity F1" not in text and "has the highest entity F1" in text


def test_both_dev_scores_are_named_where_a_bias_was_chosen() -> None:
    given = comparison(test=False)
    for system in given["systems"]:
        system["tuned_dev"], system["dev"] = system["dev"], {**system["dev"], "interval": None}
    given["judged_on"] = "tuned_dev"
    found = read(given)
    assert "entity F1 on tuned dev" in found.text and "tuned dev is the score after the bias" in found.text
    assert "The dev scores of epochs are without the bias" in found.text
    heads = re.findall(r'<th scope="col" class="number">([\w ]+)</th>', render_page(given))
    assert heads[:3] == ["dev", "tuned dev", "interval"]
    assert "tuned" not in Reader(default_page()).text


def test_on_a_phone_all_that_is_wide_scrolls_in_its_own_box() -> None:
    text = render_page(comparison(encoders=2) | {"failed": [{"name": "x", "seed": 0, "reason": "y"}]})

    class Boxes(Reader):
        inside: list[bool]

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            scrolls = "scroll" in (dict(attrs).get("class") or "").split()
            self.inside = [*getattr(self, "inside", []), scrolls] if tag not in self.VOID else self.inside
            if tag == "table" or (tag == "svg" and dict(attrs).get("role") == "img"):
                assert any(self.inside), (tag, attrs)
            super().handle_starttag(tag, attrs)

        def handle_endtag(self, tag: str) -> None:
            self.inside.pop()
            super().handle_endtag(tag)

    boxes = [attributes for tag, attributes in Boxes(text).elements if "scroll" in (attributes.get("class") or "")]
    assert all(box.get("tabindex") == "0" for box in boxes), "the keyboard scrolls it too"
    style = re.sub(r"\s+", " ", text[text.index("<style>") : text.index("</style>")])
    assert re.search(r"\.scroll \{ overflow-x: auto;[^}]*background: linear-gradient", style), "a shadow is the hint"
    assert re.search(r"@media \(max-width: 40rem\) \{.*\.wide::before \{ content: \"scroll", style)
    assert "h1, p, li, figcaption { overflow-wrap: anywhere; }" in style
    # 390 pixels less the margins: names and intervals are seen without scrolling
    figure = scores_figure(comparison(encoders=8)["systems"], on="test", score="entity F1")
    assert 72 * figure.get_figwidth() * figure.axes[0].get_position().x1 <= 390 - 2 * 0.9 * 16


@pytest.mark.parametrize("spread", [0.0, 0.003, 0.3, 1.0])
@pytest.mark.parametrize("mean", [0.0, 0.004, 0.5, 0.97, 1.0])
def test_whiskers_and_seeds_lie_inside_their_axes(mean: float, spread: float) -> None:
    interval = [max(0.0, mean - spread), min(1.0, mean + spread)]
    one = {"mean": mean, "sd": None, "interval": interval, "each": [interval[0], mean, interval[1]]}
    systems = [{"name": name, "test": one} for name in ("lstm + crf", "elman + crf")]
    for axes in scores_figure(systems, on="test", score="entity F1").axes:
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        for line in axes.lines:
            xs, ys = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
            assert left <= xs.min() and xs.max() <= right and top < ys.min() and ys.max() < bottom
        if axes is axes.figure.axes[0]:
            assert left < 100 * interval[0] and 100 * interval[1] < right


def test_the_best_epoch_of_every_system_is_in_the_curves() -> None:
    systems = comparison(encoders=8)["systems"]
    for record in (record for curve in systems[-1]["curves"] for record in curve["epochs"]):
        record["dev"] /= 10
    (low, high), _ = shared_limits(systems, "dev")
    for system in systems:
        for _, values, kept in lines_of(system, "dev"):
            assert kept is not None and low < values[kept] < high


def test_numbers_of_the_table() -> None:
    given = comparison()
    given["systems"][0]["test"] = {"mean": 0.95614, "sd": 0.0021, "interval": [0.9487, 0.9634], "each": [0.95, 0.96]}
    given["systems"][1]["against_best"] = {
        "difference": -0.0123,
        "interval": [-0.02, -0.001],
        "p": 1e-4,
        "p_holm": 3e-4,
    }
    text = read(given).text
    for expected in ("95.61 ± 0.21", "94.87 to 96.34", "−1.23", "< 0.001", "312,456", "48.2 s", "85,000"):
        assert expected in text, expected


def test_the_best_system_is_first_for_any_order() -> None:
    given = comparison(encoders=4)
    given["systems"].reverse()
    means = [system["test"]["mean"] for system in ranked(given)]
    assert means == sorted(means, reverse=True)
    rows = re.findall(r'<th scope="row"><bdi>(.*?)</bdi>', render_page(given))
    assert rows[0] == "lstm + crf"


@pytest.mark.parametrize("words", [HOSTILE, CHINESE])
def test_foreign_text_is_shown_and_stays_text(words: tuple[str, ...]) -> None:
    given = comparison(words=words, tags=9)
    given["failed"] = [{"name": words[0], "seed": 1, "reason": " ".join(words)}]
    given["signature"] = given["corpus"]["train"]["file"] = "".join(words)
    given["options"] = {words[0]: {words[1]: list(words)}}
    for system, text in zip(given["systems"], words, strict=False):
        system["name"] = system["encoder"] = text
        system["settings"] = {text: text}
        for error in system["errors"]:
            error["source"] = error["gold"] = error["predicted"] = text
        if system["transitions"]:
            system["transitions"]["tags"] = [f"B-{i}{word}" for i, word in enumerate((words * 9)[:9])]
    given["best"] = given["systems"][0]["name"]
    found = read(given)
    assert_inert(found)
    for word in words[:4]:
        assert word in found.text
    labels = "".join(attributes.get("aria-label") or "" for attributes in found.all("svg"))
    assert words[0] in labels


@given(st.lists(st.text(max_size=12), min_size=1, max_size=4))
@settings(deadline=None, derandomize=True, max_examples=6)
def test_any_text_leaves_the_page_well_formed(words: list[str]) -> None:
    given = comparison(encoders=1, heads=("crf",), tags=3, words=tuple(words), errors=3)
    system = given["systems"][0]
    given["best"] = system["name"] = words[0]
    system["transitions"]["tags"] = [words[0], words[-1], "O"]
    text = render_page(given)
    assert_inert(Reader(text))
    text.encode("utf-8")


def test_a_page_survives_what_utf_8_cannot_hold(tmp_path: Path) -> None:
    given = comparison(encoders=1, heads=("crf",))
    given["systems"][0]["errors"][0]["tokens"] = ["\ud800", "\x00", "\u202e"]
    given["corpus"]["scheme"] = "\udfff"
    write_page(given, tmp_path / "report.html")
    assert_inert(Reader((tmp_path / "report.html").read_text(encoding="utf-8")))


def test_one_system_one_seed_and_no_test_set() -> None:
    given = comparison(encoders=1, heads=("softmax",), seeds=(4,), test=False)
    given["systems"][0]["errors"] = []
    found = read(given)
    assert "1 system compared" in found.text and "on dev" in found.text
    assert "±" not in found.text.replace("mean ± standard deviation", "")
    for absent in ("Learned transitions", "Most confident errors", "Failed trials"):
        assert absent not in found.text


def test_all_trials_failed() -> None:
    given = comparison(encoders=0)
    given["failed"] = [{"name": "elman + crf", "seed": 0, "reason": "the loss became nan at update 12"}]
    found = read(given)
    assert "nothing to compare" in found.text and "the loss became nan at update 12" in found.text


def test_what_is_not_known_is_a_dash() -> None:
    given = comparison(encoders=2)
    for key in ("training_seconds", "training_tokens_per_second", "tagging_tokens_per_second", "parameters"):
        given["systems"][1][key] = None
    given["systems"][1].update(test={"mean": None, "sd": None, "interval": None, "each": []}, curves=[], errors=[])
    given["systems"][2]["curves"][0]["epochs"][0].update(dev=None, loss=float("nan"))
    given["systems"][3]["against_best"] = {"difference": -0.1, "interval": None, "p": None, "p_holm": None}
    assert_inert(read(given))


@pytest.mark.parametrize(
    ("p_holm", "expected"), [(0.2, "not significantly better than any"), (0.001, "other 3 are significantly worse")]
)
def test_the_first_sentence_says_whether_the_best_is_sure(p_holm: float, expected: str) -> None:
    given = comparison(encoders=2)
    for system in given["systems"][1:]:
        system["against_best"]["p_holm"] = p_holm
    assert expected in read(given).text


def test_eight_systems_of_many_tags_stay_small() -> None:
    given = comparison(encoders=4, tags=120, epochs=30)
    text = render_page(given)
    assert len(text.encode()) < 2_000_000
    found = Reader(text)
    assert found.text.count("40 of 120 tags") == 4
    assert_inert(found)


def test_what_a_large_grid_leaves_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("structseq.report.page.MOST_SHOWN", 2)
    given = comparison(heads=("crf",), seeds=(0,), tags=3, epochs=3, errors=1)
    (one,) = given["systems"]
    given["systems"] = [{**one, "name": f"system {i}"} for i in range(5)]
    found = read(given)
    assert found.text.count("of 3 lower-ranked systems are not shown.") == 2
    assert len(re.findall("seed 0", found.text)) == 4


def test_a_long_line_is_thinned_and_keeps_its_dot() -> None:
    systems = comparison(heads=("crf",), seeds=(0,), epochs=1001)["systems"]
    (axes,) = curves_figure(systems, value="dev", label="F1").axes
    line, dot = axes.lines
    assert len(np.asarray(line.get_xdata())) == 167 and np.asarray(dot.get_xdata()).tolist() == [999]


def test_identifiers_are_unique_and_references_resolve() -> None:
    text = render_page(comparison(encoders=3, tags=9))
    found = Reader(text)
    identifiers = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    used = set(re.findall(r'url\(#([\w-]+)\)|href="#([\w-]+)"|aria-labelledby="([\w-]+)"', text))
    assert {name for names in used for name in names if name} <= set(identifiers)


def test_pictures_have_words_and_tables_have_heads() -> None:
    found = Reader(default_page())
    for attributes in found.all("svg"):
        assert attributes.get("aria-hidden") == "true" or len(attributes.get("aria-label") or "") > 40
    assert len(found.all("table")) == len(found.all("thead"))
    assert all(attributes.get("scope") in ("row", "col") for attributes in found.all("th"))


def test_the_script_is_the_one_that_the_page_allows() -> None:
    import base64
    import hashlib

    text = default_page()
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)
    allowed = re.search(r"script-src 'sha256-([^']+)'", text.replace("&#43;", "+"))
    assert script and allowed
    assert base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode() == allowed[1]


def test_figures_follow_the_reader_s_theme_and_leave_settings_alone() -> None:
    matplotlib.rcParams["font.size"] = 13.0
    before = dict(matplotlib.rcParams)
    try:
        systems = comparison()["systems"]
        svg = inline_svg(scores_figure(systems, on="test", score="entity F1"), name="one", alt="bars")
        assert dict(matplotlib.rcParams) == before
    finally:
        matplotlib.rcdefaults()
    assert "var(--ink)" in svg and "font-family" not in svg and "DejaVu" not in svg
    assert re.search(r"<text[^>]*>lstm \+ crf</text>", svg)


def test_no_figure_stays_with_pyplot() -> None:
    from matplotlib import pyplot

    render_page(comparison(encoders=1))
    assert pyplot.get_fignums() == []


def test_curves_show_each_seed_and_the_epoch_that_was_kept() -> None:
    systems = comparison(encoders=1, heads=("crf",))["systems"]
    (axes,) = curves_figure(systems, value="dev", label="F1").axes
    lines = [line for line in axes.lines if len(line.get_xdata()) > 1]  # type: ignore[arg-type]
    dots = [line for line in axes.lines if len(line.get_xdata()) == 1]  # type: ignore[arg-type]
    assert len(lines) == len(dots) == 3
    assert [dot.get_xdata()[0] for dot in dots] == [13, 13, 13]  # type: ignore[index]
    expected = [100 * record["dev"] for record in systems[0]["curves"][0]["epochs"]]
    np.testing.assert_allclose(np.asarray(lines[0].get_ydata()), expected)


def test_transitions_are_drawn_where_the_table_has_them() -> None:
    given = transitions(random.Random(1), ["O", "B-a", "I-a"])
    table = transition_table(given)
    axes = transitions_figure(table).axes[0]
    drawn = {text.get_text() for text in axes.texts}
    assert f"{given['scores'][1][2]:+.2f}".replace("-", "−") in drawn
    (image,) = axes.images
    shades = np.asarray(image.get_array())
    assert (shades[..., 3] == 0).tolist() == np.isnan(table.scores).tolist()
    assert np.isnan(table.scores[0, 2]) and np.isnan(table.scores[0, 3]) and np.isnan(table.scores[1, 2])


def test_of_many_tags_the_strongest_are_kept_in_their_order() -> None:
    size = 6
    scores = [[0.0] * size for _ in range(size)]
    scores[4][1], scores[2][2] = -9.0, 3.0
    table = transition_table(
        {"tags": list("abcdef"), "scores": scores, "start": [0] * size, "end": [0] * size}, most_tags=3
    )
    assert table.rows == ("start", "b", "c", "e") and table.columns == ("b", "c", "e", "end") and table.of == size
    assert table.scores[3, 0] == -9 and table.scores[2, 1] == 3
    assert table.extremes(1) == ([("c", "c", 3.0)], [("e", "b", -9.0)])


def test_nothing_but_forbidden_transitions() -> None:
    table = transition_table({"tags": ["a"], "scores": [[None]], "start": None, "end": None})
    assert table.extremes(5) == ([], [])
    inline_svg(transitions_figure(table), name="none", alt="nothing")


OLD_AND_NEW = pytest.mark.parametrize(("start", "end"), [("start", "end"), ("start_token", "end_token")])


@OLD_AND_NEW
def test_an_error_is_cut_around_its_spans(start: str, end: str) -> None:
    tokens = [f"w{i}" for i in range(100)]
    found = excerpt_of({"tokens": tokens, start: 50, end: 52, "gold": "x", "predicted": "y", "kind": "type"}, context=2)
    expected = [("w48", None, "w49", None), ("w50", None, "w51"), (None, "w52", None, "w53")]
    assert [piece.tokens for piece in found.pieces] == expected
    assert found.cut == (True, True) and found.pieces[1].gold and found.pieces[1].predicted


@OLD_AND_NEW
def test_an_error_whose_gold_span_is_another(start: str, end: str) -> None:
    gold = {"gold": "x", f"gold_{start}": 0, f"gold_{end}": 2}
    found = excerpt_of({"tokens": ["a", "b", "c"], start: 1, end: 3, "predicted": "x", **gold})
    marks = [(piece.tokens, piece.gold, piece.predicted) for piece in found.pieces]
    assert marks == [(("a", None), True, False), (("b",), True, True), ((None, "c"), False, True)]


def test_a_sentence_reads_as_it_was_written() -> None:
    given = comparison(heads=("crf",))
    given["systems"][0]["errors"][0].update(tokens=["arrive", "New", "York", "by", "ten"], start=2, end=4)
    assert "arrive New York by ten" in read(given).text


def test_wording_of_what_is_not_there() -> None:
    nan = float("nan")
    assert {percent(nan), interval(None), interval([1]), p_value(nan), duration(None)} == {"–"}
    assert percent(-0.00001, sign=True) == "0.00"
    assert visible("x" * 500, longest=11) == "xxxxx…xxxxx"
