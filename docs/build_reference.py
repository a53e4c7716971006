"""Write docs/reference.md, ``python docs/build_reference.py``: commands, switches, public names and methods.

All text comes from the code: the commands' help, signatures, and the first sentence of each docstring.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, ForwardRef

import typer

import structseq
from structseq.cli import app

# Title: modules below structseq (. is the package itself), each with names; * is its `__all__`.
GROUPS = """
Read and write data: . read write Example Corpus read_documents write_documents Document Annotation Relation,\
 data.formats detect_format Format, data.example Modality,\
 data.vocabulary Vocabulary, data.textfile text_lines open_writer name_of
Tag schemes and spans: . Span Scheme scheme_of, spans *
Use a trained model: . Tagger Classifier FrameTagger Transducer Scorer Embedder, inference *, tasks.answers Answer
Train in scikit-learn: estimator *, estimator.base SequenceEstimator
Score predictions: . evaluate Report, evaluation *
The structured layer: . CRF, structures.base Distribution BeamSearchable Structure Ranked Independent,\
 structures.chain LinearChain EdgePattern, structures.segments SemiMarkov Segment segments_of path_of,\
 structures.tagged_segments TaggedSegments, structures.triangular TriangularChain, structures.lattice Alignments,\
 structures.alignment Ctc collapse merge_repeats, structures.steps Steps Stepper,\
 structures.objectives negative_log_likelihood perceptron structured_svm softmax_margin partial_likelihood\
 cost_augmented
Train from Python: config Options InputOptions EncoderOptions HeadOptions TrainingOptions load_options, model Model,\
 padded Padded, run *, storage *
Compare systems: experiment *, report *
Build your own part: encoders.base Encoder, encoders.recurrent Recurrent, heads.base Head SequenceHead Tunable,\
 heads.tagging TaggingHead, tasks Task, features.base Feature FeatureOptions, inputs.base WordFeature,\
 section Section Count
Encoders, heads and tasks: encoders *, heads *, tasks *
Errors and version: . *
"""
HEAD = """# Reference

All commands with their switches, and all public names with their methods. `python docs/build_reference.py` writes this
page from the code. The options of `--set` and `--config` are in [options.md](options.md).

This page has {} commands, {} arguments and switches, {} public names, and {} methods and properties.

{}

## Commands
"""


class Raw(str):
    """Source text. It is its own repr, so that a signature shows it without quotes."""

    __repr__ = str.__str__


def annotation(kind: Any) -> Any:
    kind = kind.__forward_arg__ if isinstance(kind, ForwardRef) else kind
    return Raw(kind) if isinstance(kind, str) else kind


def default(value: Any) -> Any:
    """Functions and classes by name, because their repr contains an address."""
    name = "..." if repr(value) == "<factory>" else getattr(value, "__name__", None)
    return value if name is None or value is inspect.Parameter.empty else Raw(name)


def signature(what: Any, *, skip: int = 0, returns: bool = True) -> str:
    found = inspect.signature(what)
    given = list(found.parameters.values())[skip:]
    given = [each.replace(annotation=annotation(each.annotation), default=default(each.default)) for each in given]
    result = annotation(found.return_annotation) if returns else found.empty
    return str(found.replace(parameters=given, return_annotation=result))


def sentence(text: str | None) -> str:
    paragraph = " ".join((text or "").strip().split("\n\n")[0].split()).replace("``", "`")
    return re.split(r"(?<=\.)\s+(?=[A-Z`(])", paragraph)[0]


def command_text(name: str, command: Any) -> Iterator[str]:
    """The whole help and a line for each argument and switch."""
    paragraphs = [" ".join(part.split()) for part in command.help.split("\n\n")]
    yield "\n\n".join([f"\n### {name}", *paragraphs]) + "\n\n"
    for each in command.params:
        is_argument = not each.opts[0].startswith("-")
        names = [each.metavar] if is_argument else [f"{name} {each.metavar or ''}" for name in each.opts]
        shown = ", ".join(f"`{name.strip()}`" for name in [*names, *each.secondary_opts])
        given = type(each.default) in (int, float, str) and each.default not in ("", "-")
        note = " (required)" if each.required else f" (default {each.default})" if given else ""
        yield f"- {shown}: {each.help}{note}\n"


def is_ours(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "structseq"


def members(kind: type) -> dict[str, Any]:
    """The public methods and properties that the class itself defines."""
    kinds = (classmethod, staticmethod, property, functools.cached_property)
    own = {name: value for name, value in vars(kind).items() if not name.startswith("_")}
    return {name: value for name, value in own.items() if inspect.isfunction(value) or isinstance(value, kinds)}


def member_line(kind: type, name: str, value: Any) -> str:
    if isinstance(value, property | functools.cached_property):
        getter: Any = value.fget if isinstance(value, property) else value.func
        shown = f"{name}: {annotation(inspect.signature(getter).return_annotation)}"
    else:
        shown = name + signature(getattr(kind, name), skip=inspect.isfunction(value))
    return f"- `{shown}`{': ' * bool(value.__doc__)}{sentence(value.__doc__)}\n"


def class_text(kind: type, paths: dict[type, str]) -> Iterator[str]:
    """What the class adds to its base classes on this page. An override without a docstring does what the base says."""
    bases = [base for base in kind.__mro__[1:] if base in paths]
    inherited = {name for base in bases for name in members(base)}
    written: set[str] = set()
    for owner in (owner for owner in kind.__mro__ if is_ours(owner) and owner not in bases):
        for name, value in members(owner).items():
            if name not in written and (value.__doc__ or name not in inherited):
                written.add(name)
                yield member_line(kind, name, value)
    nearest = [base for base in bases if members(base) and not any(base in other.__mro__[1:] for other in bases)]
    if nearest:
        yield f"\nIt also has the methods of {' and '.join(f'`{paths[base]}`' for base in nearest)}.\n"


def name_text(path: str, value: Any, paths: dict[type, str]) -> Iterator[str]:
    name = path.rpartition(".")[2]
    yield f"\n### {path}\n\n"
    if inspect.isclass(value):
        own = [vars(kind) for kind in value.__mro__ if is_ours(kind) and not getattr(kind, "_is_protocol", False)]
        shown = signature(value, returns=False) if any({"__init__", "__new__"} & each.keys() for each in own) else ""
        yield f"`class {name}{shown}`\n\n{sentence(value.__doc__)}\n\n"
        yield from class_text(value, paths)
    elif inspect.isroutine(value):
        yield f"`{name}{signature(value)}`\n\n{sentence(value.__doc__)}\n"
    elif isinstance(value, dict):
        yield f"A table of {', '.join(f'`{key}`' for key in value)}.\n"
    elif hasattr(value, "__metadata__"):
        yield f"The type `{value.__origin__.__name__}` with limits, for an option.\n"
    elif hasattr(value, "__args__"):
        yield f"The type `{re.sub(r'[a-z_.]+[.]', '', str(value))}`.\n"
    else:
        yield f"A value of type `{type(value).__name__}`.\n"


def groups() -> dict[str, dict[str, Any]]:
    """For each title its values by path, the shortest one to import from; a value is in the first group that has it."""
    found: dict[str, dict[str, Any]] = {}
    for title, _, parts in (line.partition(": ") for line in GROUPS.strip().splitlines()):
        found[title] = {}
        for module, *names in (part.split() for part in parts.split(", ")):
            home = import_module(f"structseq.{module}".rstrip("."))
            for name in home.__all__ if names == ["*"] else names:
                at_top = getattr(structseq, name) is getattr(home, name) if name in structseq.__all__ else False
                path = f"{'structseq' if at_top else home.__name__}.{name}"
                if not any(path in group for group in found.values()):
                    found[title][path] = getattr(home, name)
    return found


def page() -> str:
    group: Any = typer.main.get_command(app)
    commands = [*command_text("structseq", group)]
    for name, command in group.commands.items():
        commands += command_text(f"structseq {name}", command)
    found = groups()
    paths = {value: path for group in found.values() for path, value in group.items() if inspect.isclass(value)}
    names: list[str] = []
    for title, values in found.items():
        names.append(f"\n## {title}\n")
        for path, value in values.items():
            names += name_text(path, value, paths)
    links = [f"- [{title}](#{title.lower().replace(',', '').replace(' ', '-')})" for title in ["Commands", *found]]
    lines = [sum(part.startswith("- ") for part in parts) for parts in (commands, names)]
    counts = (len(group.commands), lines[0], sum(map(len, found.values())), lines[1])
    text = HEAD.format(*counts, "\n".join(links)) + "".join(commands + names)
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


if __name__ == "__main__":
    (Path(__file__).parent / "reference.md").write_text(page(), encoding="utf-8")
