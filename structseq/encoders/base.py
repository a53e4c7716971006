"""Encoder: (B, T, F) -> (B, T', H); bidirectional and stacked encoders."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache, partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from structseq.config import EncoderOptions
from structseq.padded import Padded

Run = Callable[[Padded], Padded]


class Encoder(nn.Module, ABC):
    """Turns a sequence of inputs into a sequence of states.

    A row's states depend on that row alone, not on other rows of the batch nor on its padding. The constructor takes
    the ``Options`` beyond `EncoderOptions` by keyword.
    """

    Options: ClassVar[type[EncoderOptions]] = EncoderOptions
    in_width: int  # F
    width: int  # H

    @abstractmethod
    def forward(self, inputs: Padded, drawn: Tensor | None = None) -> Padded:
        """States (B, T', H) with their own lengths, for inputs (B, T, F); ``drawn`` is a result of `draw`, or None."""

    def draw(self) -> Tensor | None:
        """The random numbers of one pass, for encoders whose recurrence needs any; None for the others.

        They are drawn before two directions run at the same time, so that their order is fixed.
        """
        return None

    def gates(self, inputs: Padded) -> dict[str, Tensor]:
        """How far each gate is open, 0 to 1, by name: (B, T, H) each; empty without gates. Padding is undefined."""
        return {}

    @classmethod
    def both_ways(cls, in_width: int, width: int, **options: Any) -> Encoder:
        """A bidirectional layer of this class, with ``width`` units a direction."""
        return Bidirectional(cls(in_width, width, **options), cls(in_width, width, **options))


class Backwards(Encoder):
    """An encoder that reads each row from its own end."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.in_width, self.width, self.encoder = encoder.in_width, encoder.width, encoder

    def forward(self, inputs: Padded, drawn: Tensor | None = None) -> Padded:
        states: Padded = self.encoder(reverse(inputs), drawn=drawn)
        return reverse(states)

    def draw(self) -> Tensor | None:
        return self.encoder.draw()

    def gates(self, inputs: Padded) -> dict[str, Tensor]:
        return _mirrored(self.encoder, inputs)


class Bidirectional(Encoder):
    """Two encoders, the second reading each row from its own end; states side by side (Schuster and Paliwal 1997).

    If ``concurrent``, the directions run on two threads, with the same results to the last bit. They wait for each
    other once a layer, not once a step.
    """

    concurrent: bool = False  # set by `Model.on_threads`

    def __init__(self, forwards: Encoder, backwards: Encoder) -> None:
        super().__init__()
        self.in_width, self.width = forwards.in_width, forwards.width + backwards.width
        self.forwards, self.backwards = forwards, backwards

    def forward(self, inputs: Padded, drawn: Tensor | None = None) -> Padded:
        runs = (_drawn(self.forwards), partial(_from_the_end, _drawn(self.backwards)))
        alone = inputs.values.device.type != "cpu" or torch.is_autocast_enabled("cpu")  # autocast is a thread's own
        if self.concurrent and inputs.values.numel() and not alone:
            there, back = self._both_at_once(runs, inputs)
        else:
            there, back = (run(inputs).values for run in runs)
        return inputs.with_values(torch.cat([there, back], -1))

    def gates(self, inputs: Padded) -> dict[str, Tensor]:
        there, back = self.forwards.gates(inputs), _mirrored(self.backwards, inputs)
        sides = {"forwards": there, "backwards": back}
        return {f"{name} {side}": gate for side, own in sides.items() for name, gate in own.items()}

    def _both_at_once(self, runs: tuple[Run, Run], inputs: Padded) -> tuple[Tensor, Tensor]:
        if not torch.is_grad_enabled():
            return tuple(concurrently(*(partial(_values, run, inputs, False) for run in runs)))
        parameters = [[p for p in part.parameters() if p.requires_grad] for part in (self.forwards, self.backwards)]
        return _TwoDirections.apply(runs, inputs, parameters, inputs.values, *parameters[0], *parameters[1])


def _mirrored(encoder: Encoder, inputs: Padded) -> dict[str, Tensor]:
    """The gates of an encoder that reads each row from its own end, in the order of the rows' steps."""
    backwards = reverse(inputs)
    return {name: reverse(inputs.with_values(gate)).values for name, gate in encoder.gates(backwards).items()}


def _drawn(encoder: Encoder) -> Run:
    """The encoder with its random numbers drawn."""
    drawn = encoder.draw()
    return encoder if drawn is None else partial(encoder, drawn=drawn)


def _from_the_end(run: Run, inputs: Padded) -> Padded:
    return reverse(run(reverse(inputs)))


class _TwoDirections(torch.autograd.Function):
    """Both directions at once, in the forward pass and in back-propagation."""

    @staticmethod
    def forward(ctx: Any, runs: Any, inputs: Padded, parameters: Any, values: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
        # Each direction gets its own leaf, so that the two graphs are separate.
        leaves = [values.detach().requires_grad_() for _ in runs]
        jobs = [partial(_values, run, inputs.with_values(leaf), True) for run, leaf in zip(runs, leaves, strict=True)]
        outputs = concurrently(*jobs)
        ctx.parts = list(zip(outputs, leaves, parameters, strict=True))
        return tuple(output.detach() for output in outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        jobs = [
            partial(torch.autograd.grad, output, [leaf, *parameters], gradient)
            for (output, leaf, parameters), gradient in zip(ctx.parts, upstream, strict=True)
        ]
        there, back = concurrently(*jobs)
        ctx.parts = None
        return (None, None, None, there[0] + back[0], *there[1:], *back[1:])


def _values(run: Run, inputs: Padded, gradients: bool) -> Tensor:
    inference = torch.is_inference(inputs.values)
    with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
        return run(inputs).values


def concurrently(here: Callable[[], Any], beside: Callable[[], Any]) -> list[Any]:
    """Both results: the first job on this thread, the second on another with the same number of torch threads."""
    answer = _helper().submit(_as_here, torch.get_num_threads(), beside)
    try:
        first = here()
    finally:
        wait([answer])
    return [first, answer.result()]


def _as_here(threads: int, job: Callable[[], Any]) -> Any:
    torch.set_num_threads(threads)  # OpenMP keeps it for each thread
    return job()


@cache
def _helper() -> ThreadPoolExecutor:
    """One thread for the second direction, started on first use; a forked child starts its own."""
    os.register_at_fork(after_in_child=_helper.cache_clear)
    return ThreadPoolExecutor(1, thread_name_prefix="structseq-direction")


class Stack(Encoder):
    """Encoders one on top of another, with dropout on the output of each."""

    def __init__(self, layers: Sequence[Encoder], dropout: nn.Module) -> None:
        super().__init__()
        self.in_width, self.width = layers[0].in_width, layers[-1].width
        self.layers = nn.ModuleList(layers)
        self.dropout = dropout

    def forward(self, inputs: Padded, drawn: Tensor | None = None) -> Padded:
        for layer in self.layers:
            inputs = self.dropout(layer(inputs))
        return inputs

    def gates(self, inputs: Padded) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for depth, layer in enumerate(self.layers, 1):
            assert isinstance(layer, Encoder)
            prefix = f"layer {depth} " if len(self.layers) > 1 else ""
            found |= {f"{prefix}{name}": gate for name, gate in layer.gates(inputs).items()}
            inputs = self.dropout(layer(inputs))
        return found


def reverse(states: Padded) -> Padded:
    """(B, T, H) -> (B, T, H): each row's real steps in reverse order, then its padding."""
    if states.full:
        return states.with_values(states.values.flip(1))
    lengths = states.lengths.to(states.values.device).unsqueeze(1)
    steps = torch.arange(states.values.shape[1], device=states.values.device).unsqueeze(0)
    sources = torch.where(steps < lengths, lengths - 1 - steps, steps)  # (B, T)
    return states.with_values(states.values.gather(1, sources.unsqueeze(-1).expand_as(states.values)))
