"""Bidirectional GRU and LSTM over sequences of different lengths, with the numbers of ``torch.nn``'s.

A DHN's sequences are long (N * M) and of all lengths. Sequences of a batch are padded at their ends, and each
is turned around within its own length: where padding comes last in both directions, it changes nothing.

On the CPU torch runs a GRU cell by cell, each direction for itself, and its backward pass adds to the
weights' gradients after every cell, nearly all of which is overhead. Here both directions advance together,
and what need not wait for the recurrence (derivatives of the gates, gradients of weights and input) is
computed for all positions at once. Of the LSTM torch has a fast one, but not for different lengths.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.amp import custom_bwd, custom_fwd
from torch.autograd.function import once_differentiable
from torch.nn.functional import dropout
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

_PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class _Bidirectional(nn.RNNBase):
    """What both have in common: they take sequences with their lengths, and return hidden states alone."""

    def forward(  # neither an initial state nor the last one
        self, sequence: Float[Tensor, "length B inputs"], lengths: Int64[Tensor, " B"] | None = None
    ) -> Float[Tensor, "length B outputs"]:
        """Run over sequences, in both directions.

        Args:
            sequence: ``(length, B, input_size)``, the sequences from their first element on.
            lengths: ``(B,)`` how many elements of each are its own; None for all.

        Returns:
            ``(length, B, 2 * hidden_size)`` hidden states of the last layer, to be ignored behind a
            sequence's end.
        """
        if sequence.is_cuda:  # cuDNN
            if lengths is None:
                return super().forward(sequence)[0]
            packed = pack_padded_sequence(sequence, lengths.cpu(), enforce_sorted=False)
            return pad_packed_sequence(super().forward(packed)[0], total_length=len(sequence))[0]
        order = None if lengths is None else _turned(len(sequence), lengths)
        for layer in range(self.num_layers):
            if layer:
                sequence = dropout(sequence, self.dropout, self.training)
            sequence = self._layer(layer, sequence, order)
        return sequence

    def _layer(self, layer: int, sequence: Tensor, order: Tensor | None) -> Tensor:
        raise NotImplementedError


class GRU(_Bidirectional, nn.GRU):  # type: ignore[misc]  # another forward()
    """``nn.GRU``, bidirectional, without an initial state: its parameters and results, on a GPU its code."""

    def _layer(self, layer: int, sequence: Tensor, order: Tensor | None) -> Tensor:
        weights = [
            torch.stack([getattr(self, f"{name}_l{layer}{direction}") for direction in ("", "_reverse")])
            for name in _PARAMETERS
        ]
        return _Layer.apply(sequence, order, *weights)


class LSTM(_Bidirectional, nn.LSTM):  # type: ignore[misc]  # another forward()
    """``nn.LSTM``, bidirectional, without an initial state: its parameters and results, on a GPU its code."""

    def _layer(self, layer: int, sequence: Tensor, order: Tensor | None) -> Tensor:
        zeros = sequence.new_zeros(1, sequence.shape[1], self.hidden_size)
        found = []
        for direction, inputs in (("", sequence), ("_reverse", _backwards(sequence, order))):
            weights = [getattr(self, f"{name}_l{layer}{direction}") for name in _PARAMETERS]
            hidden, *_ = torch.lstm(inputs, [zeros, zeros], weights, True, 1, 0.0, False, False, False)
            found.append(_backwards(hidden, order) if direction else hidden)
        return torch.cat(found, -1)


class _Layer(torch.autograd.Function):
    """One bidirectional layer.

    With gates r, z, n of H channels each, as ``nn.GRU`` defines them:

    r, z = sigmoid(gi_rz + gh_rz), n = tanh(gi_n + r * gh_n), h = n + z * (h' - n), where gi = W_ih x + b_ih
    and gh = W_hh h' + b_hh. All tensors lead with (length, 2 directions, B), the second direction reversed.
    """

    @staticmethod
    @custom_fwd(device_type="cpu")
    def forward(
        ctx: Any,
        sequence: Tensor,
        order: Tensor | None,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor,
        b_hh: Tensor,
    ) -> Tensor:
        length, batch, _ = sequence.shape
        size = w_hh.shape[2]
        both = torch.stack([sequence, _backwards(sequence, order)])
        of_input = torch.baddbmm(b_ih[:, None], both.flatten(1, 2), w_ih.mT)
        of_input = of_input.view(2, length, batch, 3 * size).transpose(0, 1)
        gates = of_input.contiguous()  # overwritten by r, z and n
        hidden = sequence.new_zeros(length + 1, 2, batch, size)
        recurrent = sequence.new_empty(length, 2, batch, size)  # gh_n
        recurrent_weights, bias = w_hh.mT.contiguous(), b_hh[:, None].expand(2, batch, 3 * size)
        rz_of, n_of = gates[..., : 2 * size].unbind(0), gates[..., 2 * size :].unbind(0)
        z_of, states, kept = gates[..., size : 2 * size].unbind(0), hidden.unbind(0), recurrent.unbind(0)
        r_of = gates[..., :size].unbind(0)
        step = sequence.new_empty(2, batch, 3 * size)
        step_rz, step_n = step[..., : 2 * size], step[..., 2 * size :]
        for t in range(length):
            torch.baddbmm(bias, states[t], recurrent_weights, out=step)
            rz_of[t].add_(step_rz).sigmoid_()
            kept[t].copy_(step_n)
            n_of[t].addcmul_(r_of[t], step_n).tanh_()
            torch.lerp(n_of[t], states[t], z_of[t], out=states[t + 1])
        ctx.save_for_backward(sequence, order, w_ih, w_hh, gates, hidden, recurrent)
        return torch.cat([hidden[1:, 0], _backwards(hidden[1:, 1], order)], -1)

    @staticmethod
    @custom_bwd(device_type="cpu")  # autocast as it was in the forward pass, whatever is on around backward()
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        sequence, order, w_ih, w_hh, gates, hidden, recurrent = ctx.saved_tensors
        length, batch, _ = sequence.shape
        size = w_hh.shape[2]
        r, z, n = gates.unflatten(-1, (3, size)).unbind(-2)
        # What one unit of dL/dh makes of the arguments of the gates; only dL/dh itself has to wait its turn.
        of_n = (1 - z) * (1 - n * n)
        of_z = (hidden[:-1] - n) * z * (1 - z)
        of_r = of_n * recurrent * r * (1 - r)
        pull = torch.stack([of_r, of_z, of_n * r], -2)  # to gh
        down = torch.stack([gradient[..., :size], _backwards(gradient[..., size:], order)], 1).contiguous()
        at, pull_at, z_at = down.unbind(0), pull.unbind(0), z.unbind(0)
        flat = pull.flatten(-2).unbind(0)
        for t in range(length - 1, -1, -1):
            pull_at[t].mul_(at[t].unsqueeze(-2))
            if t:
                at[t - 1].addcmul_(at[t], z_at[t])
                at[t - 1].baddbmm_(flat[t], w_hh)
        to_input = torch.stack([pull[..., 0, :], pull[..., 1, :], down * of_n], -2)
        to_input = to_input.flatten(-2).transpose(0, 1).flatten(1, 2)  # (2, length * B, 3H)
        to_hidden = pull.flatten(-2).transpose(0, 1).flatten(1, 2)
        # A frozen matcher passes gradients on; those of its own weights are a third of the work.
        found: list[Tensor | None] = [None] * 6
        if ctx.needs_input_grad[0]:
            forward, backward = torch.bmm(to_input, w_ih).view(2, length, batch, -1)
            found[0] = forward + _backwards(backward, order)
        if ctx.needs_input_grad[2]:
            both = torch.stack([sequence, _backwards(sequence, order)])
            found[2] = torch.bmm(to_input.mT, both.flatten(1, 2))
        if ctx.needs_input_grad[3]:
            found[3] = torch.bmm(to_hidden.mT, hidden[:-1].transpose(0, 1).flatten(1, 2))
        if ctx.needs_input_grad[4]:
            found[4] = to_input.sum(1)
        if ctx.needs_input_grad[5]:
            found[5] = to_hidden.sum(1)
        return tuple(found)


def _turned(length: int, lengths: Tensor) -> Tensor:
    """(length, B) where each element comes from when every sequence is turned around within its length."""
    positions = torch.arange(length, device=lengths.device)[:, None]
    return torch.where(positions < lengths, lengths - 1 - positions, positions)


def _backwards(sequence: Tensor, order: Tensor | None) -> Tensor:
    """Turn (length, B, C) around, whole or by an order of :func:`_turned`; twice is not at all."""
    return sequence.flip(0) if order is None else sequence.gather(0, order[..., None].expand_as(sequence))
