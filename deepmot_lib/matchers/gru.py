"""A GRU for the CPU: the numbers of ``torch.nn.GRU``, many times sooner for long sequences in small batches.

On the CPU torch runs a GRU cell by cell, each direction for itself, and its backward pass adds to the
weights' gradients after every cell. A DHN's sequences are long (N * M) and its batches small, so nearly all
of that is overhead. Here both directions advance together, and what need not wait for the recurrence
(derivatives of the gates, gradients of weights and input) is computed for all positions at once.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.amp import custom_bwd, custom_fwd
from torch.autograd.function import once_differentiable
from torch.nn.functional import dropout


class GRU(nn.GRU):
    """``nn.GRU``, bidirectional, without an initial state: its parameters and results, on a GPU its code."""

    def forward(  # type: ignore[override]  # neither an initial state nor the last one
        self, sequence: Float[Tensor, "length B inputs"]
    ) -> tuple[Float[Tensor, "length B outputs"], None]:
        """Run over a sequence, in both directions.

        Args:
            sequence: ``(length, B, input_size)``.

        Returns:
            ``(length, B, 2 * hidden_size)`` hidden states of the last layer; None, in the place of the last
            state.
        """
        if sequence.is_cuda:
            return super().forward(sequence)[0], None
        for layer in range(self.num_layers):
            if layer:
                sequence = dropout(sequence, self.dropout, self.training)
            weights = [
                torch.stack([getattr(self, f"{name}_l{layer}{direction}") for direction in ("", "_reverse")])
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            ]
            sequence = _Layer.apply(sequence, *weights)
        return sequence, None


class _Layer(torch.autograd.Function):
    """One bidirectional layer.

    With gates r, z, n of H channels each, as ``nn.GRU`` defines them:

    r, z = sigmoid(gi_rz + gh_rz), n = tanh(gi_n + r * gh_n), h = n + z * (h' - n), where gi = W_ih x + b_ih
    and gh = W_hh h' + b_hh. All tensors lead with (length, 2 directions, B), the second direction reversed.
    """

    @staticmethod
    @custom_fwd(device_type="cpu")
    def forward(ctx: Any, sequence: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> Tensor:
        length, batch, _ = sequence.shape
        size = w_hh.shape[2]
        both = _directions(sequence)
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
        ctx.save_for_backward(sequence, w_ih, w_hh, gates, hidden, recurrent)
        return torch.cat([hidden[1:, 0], hidden[1:, 1].flip(0)], -1)

    @staticmethod
    @custom_bwd(device_type="cpu")  # autocast as it was in the forward pass, whatever is on around backward()
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        sequence, w_ih, w_hh, gates, hidden, recurrent = ctx.saved_tensors
        length, batch, _ = sequence.shape
        size = w_hh.shape[2]
        r, z, n = gates.unflatten(-1, (3, size)).unbind(-2)
        # What one unit of dL/dh makes of the arguments of the gates; only dL/dh itself has to wait its turn.
        of_n = (1 - z) * (1 - n * n)
        of_z = (hidden[:-1] - n) * z * (1 - z)
        of_r = of_n * recurrent * r * (1 - r)
        pull = torch.stack([of_r, of_z, of_n * r], -2)  # to gh
        down = torch.stack([gradient[..., :size], gradient[..., size:].flip(0)], 1).contiguous()
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
        found: list[Tensor | None] = [None] * 5
        if ctx.needs_input_grad[0]:
            forward, backward = torch.bmm(to_input, w_ih).view(2, length, batch, -1)
            found[0] = forward + backward.flip(0)
        if ctx.needs_input_grad[1]:
            found[1] = torch.bmm(to_input.mT, _directions(sequence).flatten(1, 2))
        if ctx.needs_input_grad[2]:
            found[2] = torch.bmm(to_hidden.mT, hidden[:-1].transpose(0, 1).flatten(1, 2))
        if ctx.needs_input_grad[3]:
            found[3] = to_input.sum(1)
        if ctx.needs_input_grad[4]:
            found[4] = to_hidden.sum(1)
        return tuple(found)


def _directions(sequence: Tensor) -> Tensor:
    """(length, B, C) to (2, length, B, C): as it is, and backwards."""
    return torch.stack([sequence, sequence.flip(0)])
