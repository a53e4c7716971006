"""Matplotlib figures as inline SVG, in which text stays text and colours follow the page's theme."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.figure import Figure

# Pixels per point: text of 8.5 points becomes about as large as the tables' text
SCALE = 1.5
INK, MUTED, HATCH, LINE = "#1b1f24", "#5b6470", "#aab2bc", "#d5dae0"
# The colours of Okabe and Ito (2008), without yellow, which is too pale on white
BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY = "#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9"
COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, INK)

# CSS variables, set by the page's style sheet for its light and dark themes
VARIABLES = {
    INK: "ink", MUTED: "muted", HATCH: "hatch", LINE: "line",
    BLUE: "blue", VERMILION: "vermilion", GREEN: "green", ORANGE: "orange", PURPLE: "purple", SKY: "sky",
}  # fmt: skip

_SVG, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
# Any, because the keys that Matplotlib allows differ between versions
_SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "structseq",
    "font.size": 8.5,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    **{f"{axis}tick.color": MUTED for axis in "xy"},
    **{f"{axis}tick.labelcolor": INK for axis in "xy"},
    **{f"{axis}tick.major.width": 0.6 for axis in "xy"},
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "hatch.color": HATCH,
    "hatch.linewidth": 0.5,
    "lines.linewidth": 1.3,
}


@contextmanager
def house_style() -> Iterator[None]:
    """Use the report's settings instead of the user's matplotlibrc."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def inline_svg(figure: Figure, *, name: str, alt: str) -> str:
    """``figure`` as an ``<svg>`` element; ``name``, unique in the page, is the prefix of its identifiers."""
    file = io.BytesIO()
    with house_style(), warnings.catch_warnings():
        # The browser draws the text with its own fonts, so missing glyphs do not matter
        warnings.filterwarnings("ignore", message=".*[Gg]lyph.* missing from", category=UserWarning)
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    root = ElementTree.fromstring(file.getvalue())
    _strip(root)
    _rename(root, name)
    for element in root.iter():
        if "style" in element.attrib:
            element.set("style", _themed(element.attrib["style"]))
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "role": "img",
        "aria-label": alt,
        "width": f"{SCALE * width:.0f}",
        "height": f"{SCALE * height:.0f}",
        # On a narrow screen the figure shrinks to this width, then scrolls
        "style": f"min-width:{width:.0f}px",
    }
    return ElementTree.tostring(root, encoding="unicode")


def _strip(root: ElementTree.Element) -> None:
    """Remove namespaces, metadata, whitespace and style elements."""
    for parent in list(root.iter()):
        parent.tag, parent.tail = parent.tag.removeprefix(_SVG), None
        if parent.tag != "text":
            parent.text = None
        for child in list(parent):
            name = child.tag.removeprefix(_SVG)
            if name == "style" or name.endswith("metadata"):
                parent.remove(child)
        if _LINK in parent.attrib:
            parent.set("href", parent.attrib.pop(_LINK))


def _rename(root: ElementTree.Element, name: str) -> None:
    """Prefix identifiers with ``name``; remove those without a reference."""
    text = ElementTree.tostring(root, encoding="unicode")
    used = {match: f"{name}-{i}" for i, match in enumerate(dict.fromkeys(re.findall(r"(?:url\(|=\")#([\w-]+)", text)))}
    for element in root.iter():
        identifier = element.attrib.pop("id", None)
        if identifier in used:
            element.set("id", used[identifier])
        for key, value in element.attrib.items():
            if key == "href" and value.startswith("#"):
                element.set(key, f"#{used[value[1:]]}")
            elif "url(#" in value:
                element.set(key, re.sub(r"url\(#([\w-]+)\)", lambda found: f"url(#{used[found[1]]})", value))


def _themed(style: str) -> str:
    """Replace colours by CSS variables and remove font families."""
    for colour, variable in VARIABLES.items():
        style = style.replace(colour, f"var(--{variable})")
    return re.sub(r"\s*font-family: [^;]*;?|(?<=[:;])\s+", "", style)
