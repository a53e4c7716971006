"""Tokenizers never edit the text, leave out white space alone, and cut as their names promised."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from structseq.data.tokenizer import TOKENIZERS, tokenize, tokenizer_of
from structseq.errors import ConfigError

ODD = "ab9é台カ한هन्ि́\u200b\u200c\u200d\ufeff\u00a0\u3000\u2028\x85\x1c👩🏽🇹🇼️⃣#@_'’-–.,:;!?/&%$()\"\\ \t\r\n\x00"
texts = st.text(st.sampled_from(ODD), max_size=30) | st.text(st.characters(exclude_categories=("Cs",)), max_size=30)


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=150)
@given(text=texts)
@example(text="")
@example(text="mail a.b@c.d, see https://x.y/z. www.a.b! Mr. T")
def test_every_character_is_in_one_token_or_white_space(name: str, text: str) -> None:
    tokens = tokenize(text, name)
    end = 0
    for token in tokens:
        assert text[token.start : token.end] == token.text
        assert token.text
        assert text[end : token.start].strip() == ""
        assert end <= token.start
        end = token.end
    assert text[end:].strip() == ""
    if name != "whitespace-1":
        assert not any(character.isspace() for token in tokens for character in token.text)


@settings(max_examples=100)
@given(texts)
def test_characters_are_single(text: str) -> None:
    assert [token.text for token in tokenize(text, "characters-1")] == [c for c in text if not c.isspace()]


@given(st.lists(texts.map(lambda text: "".join(text.split())).filter(bool)))
def test_whitespace_gives_back_tokens_joined_by_spaces(tokens: list[str]) -> None:
    assert [token.text for token in tokenize(" ".join(tokens), "whitespace-1")] == tokens
    kept = ["a\u00a0b\u3000c", "\x1c", "\u2028"]
    assert [token.text for token in tokenize("a\u00a0b\u3000c \x1c\t\u2028", "whitespace-1")] == kept


# The fixed result of words-1; another segmentation is another version
WORDS = {
    "arrive Taipei on November 2nd": ["arrive", "Taipei", "on", "November", "2nd"],
    "I'd fly, don’t you?": ["I'd", "fly", ",", "don’t", "you", "?"],
    "O'Hare's 'quoted' James' '90s": ["O'Hare's", "'", "quoted", "'", "James", "'", "'", "90s"],
    "red-eye one--way - -5": ["red-eye", "one", "--", "way", "-", "-", "5"],
    "10:30 1,234.50 2026-11-23 5/6 $5 50%": ["10:30", "1,234.50", "2026-11-23", "5/6", "$", "5", "50", "%"],
    "at 10:30pm, 3.": ["at", "10:30pm", ",", "3", "."],
    "U.S. p.m. e.g., a.b.cd": ["U.S.", "p.m.", "e.g.", ",", "a.b", ".", "cd"],
    "Mr. X of St. Louis. Best.": ["Mr.", "X", "of", "St.", "Louis", ".", "Best", "."],
    "wait... what?! no!!!": ["wait", "...", "what", "?", "!", "no", "!!!"],
    "(Paris) [a] {b}": ["(", "Paris", ")", "[", "a", "]", "{", "b", "}"],
    "@me #tag #1 a_b AT&T &amp;": ["@me", "#tag", "#", "1", "a_b", "AT&T", "&", "amp", ";"],
    "see https://a.b/c?d=e. (www.x.org)": ["see", "https://a.b/c?d=e", ".", "(", "www.x.org", ")"],
    "mail a.b+c@d-e.org.": ["mail", "a.b+c@d-e.org", "."],
    "訂11月2日從台北到Tokyo的機票，": [*"訂", "11", "月", "2", *"日從台北到", "Tokyo", *"的機票，"],
    "カタカナー 한국어 できる": [*"カタカナー", "한국어", *"できる"],
    "e\u0301te\u0301 हिन्दी می‌خواهم \u200bx\u200b": ["e\u0301te\u0301", "हिन्दी", "می‌خواهم", "\u200bx\u200b"],
    "👩‍👩‍👧👍🏽🇹🇼🇯🇵 1️⃣": ["👩‍👩‍👧", "👍🏽", "🇹🇼", "🇯🇵", "1️⃣"],
    "a\u00a0b\u2028c\x1cd": ["a", "b", "c", "d"],
}


@pytest.mark.parametrize(("text", "expected"), WORDS.items())
def test_words(text: str, expected: list[str]) -> None:
    assert [token.text for token in tokenize(text)] == expected


def test_pieces() -> None:
    expected = ["New", "York", "'", "s", "10", ":", "30", "-", "x", "_", "é", ".", ".", "台", "北"]
    assert [token.text for token in tokenize("New York's 10:30-x _ é..台北", "pieces-1")] == expected


def test_unknown_name() -> None:
    with pytest.raises(ConfigError, match="unknown tokenizer 'word-1'; did you mean 'words-1'"):
        tokenizer_of("word-1")
    with pytest.raises(ConfigError, match="there are words-1, characters-1"):
        tokenizer_of("")


HARD = ["a." * 30_000, "'" * 50_000, "a'" * 30_000, "http://" * 10_000, "a@" * 20_000, "a" * 90_000, "\u0301" * 50_000]


@pytest.mark.parametrize("text", HARD, ids=[text[:8] for text in HARD])
def test_time_grows_with_the_text_and_not_faster(text: str) -> None:
    """Nothing is timed; a cut that went over such a text again and again would not come back."""
    assert "".join(token.text for token in tokenize(text)) == text
