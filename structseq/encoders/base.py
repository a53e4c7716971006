"""The base class of encoders; bidirectional and stacked encoders."""

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

Forward = Callable[[Padded], Padded]


class Encoder(nn.Module, ABC):
    """Turns a sequence of inputs into a sequence of states.

    The states of a row must not depend on padding or other rows. The constructor is called as ``cls(in_width, width,
    **options)``; ``options`` are those that ``Options`` adds to `EncoderOptions`.
    """

    Options: ClassVar[type[EncoderOptions]] = EncoderOptions
    in_width: int  # F
    width: int  # H

    @abstractmethod
    def forward(self, inputs: Padded, mask: Tensor | None = None) -> Padded:
        """States (B, T', H) with their lengths, for inputs (B, T, F); T' may be shorter than T.

        ``mask`` is a result of `sample_mask`; by default a new one is drawn. Compositions leave it to their layers.
        """

    def sample_mask(self) -> Tensor | None:
        """The dropout mask of one forward pass, or None.

        `Bidirectional` samples both masks before it starts its threads, so that results do not depend on their timing.
        """
        return None

    def gates(self, inputs: Padded) -> dict[str, Tensor]:
        """Activations (B, T, H) of each gate by name, from 0 (closed) to 1 (open), undefined in the padding."""
        return {}

    @classmethod
    def bidirectional(cls, in_width: int, width: int, **options: Any) -> Encoder:
        """A bidirectional layer with ``width`` units per direction."""
        return Bidirectional(cls(in_width, width, **options), cls(in_width, width, **options))


class Backwards(Encoder):
    """Reads each row from right to left; its states are in the original order."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.in_width, self.width, self.encoder = encoder.in_width, encoder.width, encoder

    def forward(self, inputs: Padded, mask: Tensor | None = None) -> Padded:
        states: Padded = self.encoder(reverse(inputs), mask=mask)
        return reverse(states)

    def sample_mask(self) -> Tensor | None:
        return self.encoder.sample_mask()

    def gates(self, inputs: Padded) -> dict[str, Tensor]:
        return _reversed_gates(self.encoder, inputs)


class Bidirectional(Encoder):
    """Two directions with concatenated states (Schuster and Paliwal 1997); if ``concurrent``, on two threads."""

    concurrent: bool = False  # set by `Model.on_threads`

    def __init__(self, forwards: Encoder, backwards: Encoder) -> None:
        super().__init__()
        self.in_width, self.width = forwards.in_width, forwards.width + backwards.width
        self.forwards, self.backwards = forwards, backwards

    def forward(self, inputs: Padded, mask: Tensor | None = None) -> Padded:
        passes = (_with_mask(self.forwards), partial(_run_reversed, _with_mask(self.backwards)))
        # GPU kernels are asynchronous already; autocast is a state of the thread that the second thread would not have.
        serial = inputs.values.device.type != "cpu" or torch.is_autocast_enabled("cpu")
        if self.concurrent and inputs.values.numel() and not serial:
            forward, backward = self._run_concurrently(passes, inputs)
        else:
            forward, backward = (each(inputs).values for each in passes)
        return inputs.with_values(torch.cat([forward, backward], -1))

    def gates(self, inputs: Padded) -> dict[str, Tensor]:
        directions = {"forwards": self.forwards.gates(inputs), "backwards": _reversed_gates(self.backwards, inputs)}
        return {f"{name} {side}": gate for side, gates in directions.items() for name, gate in gates.items()}

    def _run_concurrently(self, passes: tuple[Forward, Forward], inputs: Padded) -> tuple[Tensor, Tensor]:
        if not torch.is_grad_enabled():
            return tuple(concurrently(*(partial(_run_in_thread, each, inputs, False) for each in passes)))
        parameters = [[p for p in part.parameters() if p.requires_grad] for part in (self.forwards, self.backwards)]
        return _TwoDirections.apply(passes, inputs, parameters, inputs.values, *parameters[0], *parameters[1])


def _reversed_gates(encoder: Encoder, inputs: Padded) -> dict[str, Tensor]:
    """The gates of a backward encoder, in the original order."""
    backwards = reverse(inputs)
    return {name: reverse(inputs.with_values(gate)).values for name, gate in encoder.gates(backwards).items()}


def _with_mask(encoder: Encoder) -> Forward:
    """The encoder with its mask sampled now."""
    mask = encoder.sample_mask()
    return encoder if mask is None else partial(encoder, mask=mask)


def _run_reversed(forward: Forward, inputs: Padded) -> Padded:
    return reverse(forward(reverse(inputs)))


class _TwoDirections(torch.autograd.Function):
    """Runs both directions concurrently, forwards and in back-propagation."""

    @staticmethod
    def forward(
        ctx: Any, passes: Any, inputs: Padded, parameters: Any, values: Tensor, *_: Tensor
    ) -> tuple[Tensor, ...]:
        # A leaf for each direction: with separate graphs both can back-propagate at the same time.
        leaves = [values.detach().requires_grad_() for _ in passes]
        pairs = zip(passes, leaves, strict=True)
        jobs = [partial(_run_in_thread, each, inputs.with_values(leaf), True) for each, leaf in pairs]
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
        forward, backward = concurrently(*jobs)
        ctx.parts = None
        return (None, None, None, forward[0] + backward[0], *forward[1:], *backward[1:])


def _run_in_thread(forward: Forward, inputs: Padded, gradients: bool) -> Tensor:
    """(B, T', H) states of one direction. Gradient and inference mode are set again: they belong to a thread."""
    inference = torch.is_inference(inputs.values)
    with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
        return forward(inputs).values


def concurrently(first: Callable[[], Any], second: Callable[[], Any]) -> list[Any]:
    """Both results; the second job runs on another thread."""
    future = _second_thread().submit(_call_with_threads, torch.get_num_threads(), second)
    try:
        result = first()
    finally:
        wait([future])  # also after an error: the second job must not outlive this call
    return [result, future.result()]


def _call_with_threads(threads: int, job: Callable[[], Any]) -> Any:
    torch.set_num_threads(threads)  # OpenMP stores it per thread
    return job()


@cache
def _second_thread() -> ThreadPoolExecutor:
    """A pool of one thread. After a fork the child makes its own, because threads do not survive it."""
    os.register_at_fork(after_in_child=_second_thread.cache_clear)
    return ThreadPoolExecutor(1, thread_name_prefix="structseq-direction")


class Stack(Encoder):
    """Layers applied in order, each followed by dropout."""

    def __init__(self, layers: Sequence[Encoder], dropout: nn.Module) -> None:
        super().__init__()
        self.in_width, self.width = layers[0].in_width, layers[-1].width
        self.layers = nn.ModuleList(layers)
        self.dropout = dropout

    def forward(self, inputs: Padded, mask: Tensor | None = None) -> Padded:
        for layer in self.layers:
            inputs = self.dropout(layer(inputs))
        return inputs

    def gates(self, inputs: Padded) -> dict[str, Tensor]:
        gates: dict[str, Tensor] = {}
        for depth, layer in enumerate(self.layers, 1):
            assert isinstance(layer, Encoder)
            prefix = f"layer {depth} " if len(self.layers) > 1 else ""
            gates |= {f"{prefix}{name}": gate for name, gate in layer.gates(inputs).items()}
            inputs = self.dropout(layer(inputs))
        return gates


def reverse(states: Padded) -> Padded:
    """Reverses the real steps of each row; padding stays."""
    if states.full:
        return states.with_values(states.values.flip(1))
    lengths = states.lengths.to(states.values.device).unsqueeze(1)
    steps = torch.arange(states.values.shape[1], device=states.values.device).unsqueeze(0)
    sources = torch.where(steps < lengths, lengths - 1 - steps, steps)  # (B, T)
    return states.with_values(states.values.gather(1, sources.unsqueeze(-1).expand_as(states.values)))
