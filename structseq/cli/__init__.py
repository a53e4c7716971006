"""The command line's surface: check, convert, train, evaluate, tag, embed, describe, compare; each command's work is a
file of its own.

Results go to standard output, errors and progress to standard error. Exit status: 0 done; 1 `check` found what training
would refuse, or a trial of `compare` failed; 2 input that cannot be used, told in one sentence; 130 stopped by Ctrl-C
or SIGTERM; 141 nobody reads the output any more. Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from structseq.cli.arguments import Command, Commands
from structseq.cli.door import run_safely

app = typer.Typer(
    name="structseq",
    cls=Commands,
    help="Train, evaluate and use sequence taggers on CoNLL-style files.",
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set one option, such as data.tag_column=3; may be repeated."),
]
Trusted = Annotated[
    list[str] | None,
    typer.Option(
        "--trust", metavar="MODULE:CLASS", help="Code from outside that the model may import; may be repeated."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no remarks; errors are still told.")]
ModelFolder = Annotated[Path, typer.Argument(metavar="MODEL", help="A model folder, as `train` writes it.")]


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status."""
    return run_safely(app, arguments)


@app.callback(invoke_without_command=True)
def structseq(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Train, evaluate and use sequence taggers on CoNLL-style files."""
    if version:
        from structseq import __version__

        print(f"structseq {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command(cls=Command)
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="The training file, then dev and test files.")],
    settings: Settings = None,
) -> int:
    """Look at data files as training would: format, columns, scheme, types, illegal sequences, overlaps.

    Exit status 1 says that training would refuse something.
    """
    from structseq.cli.checking import run_check

    return run_check(files, settings or [])


@app.command(cls=Command)
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="The file to read.")],
    target: Annotated[
        str, typer.Argument(metavar="OUT", help="The file to write, its format by extension; - is standard output.")
    ],
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="SCHEME",
            help="Tag scheme to write: IO, IOB1, BIO, IOE, BIOES, BILOU, BMES; as read where not given.",
        ),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="SCHEME", help="Tag scheme of IN; found from the data where not given."),
    ] = None,
    repair: Annotated[
        str | None,
        typer.Option(
            "--repair",
            metavar="POLICY",
            help="What to do with illegal sequences: conlleval or drop; refused where not given.",
        ),
    ] = None,
    settings: Settings = None,
) -> None:
    """Write a file in another tag scheme or format.

    Between column files only the tag column is rewritten; all else stays byte for byte.
    """
    from structseq.cli.converting import run_convert

    run_convert(source, target, to=to, from_=from_, repair=repair, settings=settings or [])


@app.command(cls=Command)
def train(
    context: typer.Context,
    train: Annotated[Path, typer.Argument(metavar="TRAIN", help="The data to learn from.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the model; new or empty.")],
    dev: Annotated[
        Path | None,
        typer.Option(
            "--dev",
            metavar="FILE",
            help="The data to choose the best epoch by; without it a share of TRAIN is held out.",
        ),
    ] = None,
    test: Annotated[
        Path | None, typer.Option("--test", metavar="FILE", help="Scored once, when all is decided.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="TOML", help="A file of options, TOML or JSON.")
    ] = None,
    settings: Settings = None,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, max=2**63 - 1, help="Decides everything that is drawn.")
    ] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in DIR.")] = False,
    init_from: Annotated[
        Path | None,
        typer.Option(
            "--init-from",
            metavar="MODEL",
            help="Start from this model's words and weights, as far as inputs, tags and widths match.",
        ),
    ] = None,
    save_every: Annotated[
        float,
        typer.Option("--save-every", metavar="SECONDS", min=0, help="Seconds between checkpoints within an epoch."),
    ] = 60.0,
    quiet: Quiet = False,
    trusted: Trusted = None,
) -> None:
    """Train a tagger and score it.

    After any interruption the same command with --resume goes on, to the same weights as without it.
    """
    from structseq.cli.training import TrainCommand

    TrainCommand(
        context.obj,
        train, output, dev=dev, test=test, config=config, settings=settings or [], seed=seed, resume=resume,
        init_from=init_from, save_every=save_every, quiet=quiet,
        trusted=trusted or [],
    ).run()  # fmt: skip


@app.command(cls=Command)
def evaluate(
    model: ModelFolder,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Data with gold tags.")],
    json: Annotated[
        str | None,
        typer.Option(
            "--json",
            metavar="OUT",
            help="Write the report, errors and all, as JSON; - is standard output, instead of the text.",
        ),
    ] = None,
    errors: Annotated[int, typer.Option("--errors", metavar="N", min=0, help="How many errors to list.")] = 0,
    settings: Settings = None,
    trusted: Trusted = None,
) -> None:
    """Score a model on a file: per type, micro and macro, seen and unseen entities, confusion, errors."""
    from structseq.cli.evaluating import run_evaluate

    run_evaluate(model, file, json_out=json, errors=errors, settings=settings or [], trusted=trusted or [])


@app.command(cls=Command)
def tag(
    model: ModelFolder,
    file: Annotated[str, typer.Argument(metavar="[FILE|-]", help="What to tag; - is standard input.")] = "-",
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="Format of FILE: conll, jsonl, text; labelled, pairs, threefile, audio where the model answers whole "
            "sequences. Found from FILE where not given; of standard input conll, or text without tags.",
        ),
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", metavar="STRING", help="Tag this text instead of a file.")
    ] = None,
    confidence: Annotated[
        bool | None,
        typer.Option(
            "--confidence/--no-confidence", help="Whether spans carry their exact probability; on, except for conll."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="OUT", help="File to write, whole or not at all; standard output where not given."
        ),
    ] = None,
    settings: Settings = None,
    trusted: Trusted = None,
) -> None:
    """Tag a file or a text.

    conll: every column and comment is kept and the predicted tag is the last column (a label, where the model gives
    sentences labels too, is a comment more). jsonl: records with "tokens" or
    "text" gain "tags" and "spans". text: one text a line becomes one JSON record a line. A model whose answer is a
    label, or a sequence of its own (of a text, of a recording), gives one JSON record a sequence, whatever the format.
    """
    from structseq.cli.tagging import run_tag

    run_tag(
        model,
        file,
        format=format,
        text=text,
        confidence=confidence,
        output=output,
        settings=settings or [],
        trusted=trusted or [],
    )


@app.command(cls=Command)
def embed(
    model: ModelFolder,
    file: Annotated[str, typer.Argument(metavar="[FILE|-]", help="Sequences; - is standard input.")] = "-",
    format: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="NAME", help="Format of FILE, text for one a line; found from it where not given."
        ),
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", metavar="STRING", help="Read this text instead of a file.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="File to write, an array where it ends in .npy, else JSON records; standard output where not given.",
        ),
    ] = None,
    settings: Settings = None,
    trusted: Trusted = None,
) -> None:
    """Write one vector for each sequence of a file.

    An autoencoder's bottleneck, the pooled states where a model answers with a label; of any other model the mean of
    its encoder's states.
    """
    from structseq.cli.transducing import run_embed

    run_embed(model, file, format=format, text=text, output=output, settings=settings or [], trusted=trusted or [])


@app.command(cls=Command)
def describe(
    model: ModelFolder,
    on: Annotated[
        Path | None,
        typer.Option("--on", metavar="FILE", help="Tagged data to watch the gates on; as on dev where not given."),
    ] = None,
    settings: Settings = None,
    trusted: Trusted = None,
) -> None:
    """Say what a model is and has learned.

    Options, tags, vocabularies, weights, scores, origin, the strongest and weakest transitions, and how far its gates
    open over each tag.
    """
    from structseq.cli.describing import run_describe

    run_describe(model, on=on, settings=settings or [], trusted=trusted or [])


@app.command(cls=Command)
def compare(
    train: Annotated[Path, typer.Argument(metavar="TRAIN", help="The data to learn from.")],
    dev: Annotated[Path, typer.Option("--dev", metavar="FILE", help="The data to choose the best epoch by.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="Folder for all trials; new, or of the same comparison."),
    ],
    test: Annotated[
        Path | None, typer.Option("--test", metavar="FILE", help="What systems are ranked on; dev where not given.")
    ] = None,
    encoders: Annotated[
        str | None,
        typer.Option("--encoders", metavar="NAMES", help="For example lstm,elman,lstm[layers=2;width=100]."),
    ] = None,
    heads: Annotated[
        str | None, typer.Option("--heads", metavar="NAMES", help="For example crf,softmax,crf[scheme=BIOES].")
    ] = None,
    seeds: Annotated[str, typer.Option("--seeds", metavar="NUMBERS", help="For example 0,1,2.")] = "0",
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", metavar="N", min=1, help="Trials at once, each on one thread; all cores if not given."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="TOML", help="A file of options for all trials, TOML or JSON.")
    ] = None,
    settings: Settings = None,
    quiet: Quiet = False,
) -> int:
    """Train every encoder with every head and every seed, and say which is best and how sure that is.

    After any interruption the same command goes on; more encoders, heads or seeds may be added to the same DIR.
    It holds comparison.csv, comparison.json and report.html, and each trial's model.
    """
    from structseq.cli.comparing import CompareCommand

    return CompareCommand(
        train, dev, output, test=test, encoders=encoders, heads=heads, seeds=seeds, jobs=jobs, config=config,
        settings=settings or [], quiet=quiet,
    ).run()  # fmt: skip
