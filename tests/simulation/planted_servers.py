"""Mistakes of several servers and of relays that ddmlp does not make. The simulation must find each."""

from collections.abc import Collection
from typing import Any

import pytest

from ddmlp.nn.steps import add_gradient
from ddmlp.nn.weights import Floats, Weights
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.messages import Unit
from ddmlp.training.reduction import Reduction
from ddmlp.training.weight_slice import WeightSlice
from ddmlp.transport import relay
from ddmlp.transport.server_link import ServerLink
from ddmlp.transport.slice_client import SliceClient
from ddmlp.transport.slice_commands import SliceCommands

Patch = pytest.MonkeyPatch


def answered_too_early(patch: Patch) -> None:
    """The coordinator has an answer before the servers have the gradient, so it applies a step whose parts are
    missing."""

    def wrong(client: SliceClient, unit: Unit, row_stats: RowStats) -> None:
        client._coordinator.answer(unit, row_stats)
        client._servers.add(unit, client._gradient)

    patch.setattr(SliceClient, "answer", wrong)


def other_checkpoint(patch: Patch) -> None:
    """The last server keeps the weights of the first checkpoint that it was ever given."""
    load, kept = SliceCommands.load, {}

    def wrong(servers: SliceCommands, version: int, weights: Weights) -> None:
        part = servers.slices[-1]
        mixed = Weights(weights.shape)
        mixed.flat[:] = weights.flat
        if version == 0:
            kept.clear()
        mixed.flat[part] = kept.setdefault(part.start, weights.flat[part].copy())
        load(servers, version, mixed)

    patch.setattr(SliceCommands, "load", wrong)


def second_copy(patch: Patch) -> None:
    """A server adds the second copy of a gradient to the sum that has the first one."""
    add = WeightSlice.add

    def wrong(part: WeightSlice, unit: Unit, flat: Floats, worker: int, checksum: int) -> None:
        if unit in part._firsts and unit.step in part._open:
            for each in part._open[unit.step]._sums.values():
                add_gradient(each.flat, flat)
        add(part, unit, flat, worker, checksum)

    patch.setattr(WeightSlice, "add", wrong)


def slice_too_early(patch: Patch) -> None:
    """A server gives up the oldest version that is still read."""
    apply = WeightSlice.apply

    def wrong(part: WeightSlice, step: int, step_size: float, keep: Collection[int]) -> None:
        apply(part, step, step_size, {*keep} - {min(keep)} if len(keep) > 1 else keep)

    patch.setattr(WeightSlice, "apply", wrong)


def command_not_sent(patch: Patch) -> None:
    """The rest of a command waits for the next one."""

    def wrong(link: ServerLink, frame: bytes, array: Floats | None = None) -> None:
        link.wire.send(frame, array)

    patch.setattr(ServerLink, "send", wrong)


def before_its_step(patch: Patch) -> None:
    """A server confirms a gradient of a step that it does not know yet."""
    patch.setattr(WeightSlice, "has_begun", lambda *_: True)


def buffer_reused(patch: Patch) -> None:
    """A server keeps a gradient in the buffer of a connection, which the next one overwrites."""
    patch.setattr(Reduction, "keep_halves", lambda _: None)


def stale_checkpoint(patch: Patch) -> None:
    """The coordinator writes a checkpoint of weights that it has gathered before."""
    apply = SliceCommands.apply

    def wrong(servers: SliceCommands, *rest: Any) -> None:
        kept = dict(servers._gathered)
        apply(servers, *rest)
        servers._gathered.update({version + 1: weights for version, weights in kept.items()})

    patch.setattr(SliceCommands, "apply", wrong)


def stale_relay(patch: Patch) -> None:
    """A relay gives its workers the first weights that it has received, whatever the version."""
    compute = relay.Relay.compute

    def wrong(each: relay.Relay, unit: Unit, weights: Weights, out: Weights) -> RowStats:
        first = each.__dict__.setdefault("first", weights.flat.copy())
        return compute(each, unit, Weights(weights.shape, first), out)

    patch.setattr(relay.Relay, "compute", wrong)


def half_of_relay(patch: Patch) -> None:
    """A relay sends only the first half of the sum of its workers' gradients."""
    patch.setattr(relay, "add_gradient", lambda *_: None)


# Each with a seed that finds it, or a later one does.
PLANTED = {
    answered_too_early: 0,
    other_checkpoint: 50,
    second_copy: 9,
    slice_too_early: 18,
    command_not_sent: 47,
    before_its_step: 39,
    buffer_reused: 9,
    stale_checkpoint: 1,
    stale_relay: 22,
    half_of_relay: 48,
}
