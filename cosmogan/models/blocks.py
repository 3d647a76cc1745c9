"""Building blocks that work alike in two and three dimensions and on a periodic box.

Every convolution and every change of resolution pads circularly, so that a roll of the input by
the stride of the network rolls the output. Shapes are written ``x_NC*`` with ``*`` the spatial
axes. No block normalises or looks at the whole box.
"""

import itertools
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_CONVOLVE = {2: functional.conv2d, 3: functional.conv3d}
SLOPE = 0.2
"""Slope of the leaky rectifier below zero."""


class _Wrap(torch.autograd.Function):
    """Wraps cells around the spatial axes; its gradient folds them back, and the other way round.

    The gradient that PyTorch finds for its own circular padding copies the whole field for every
    side, which cost a fifth of a training step.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, width: int) -> Tensor:  # noqa: ANN401
        ctx.width = width
        wrapped = x.new_empty(*x.shape[:2], *(cells + 2 * width for cells in x.shape[2:]))
        inner = wrapped
        for axis in range(2, x.ndim):
            inner = inner.narrow(axis, width, x.shape[axis])
        inner.copy_(x)
        for axis in range(2, x.ndim):
            cells = x.shape[axis]
            wrapped.narrow(axis, 0, width).copy_(wrapped.narrow(axis, cells, width))
            wrapped.narrow(axis, cells + width, width).copy_(wrapped.narrow(axis, width, width))
        return wrapped

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        return _fold(gradients[0], ctx.width), None


class _Fold(torch.autograd.Function):
    """The adjoint of `_Wrap`: adds what was wrapped to where it came from."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, width: int) -> Tensor:  # noqa: ANN401
        ctx.width = width
        for axis in range(2, x.ndim):
            cells = x.shape[axis] - 2 * width
            inner = x.narrow(axis, width, cells).clone()
            inner.narrow(axis, cells - width, width).add_(x.narrow(axis, 0, width))
            inner.narrow(axis, 0, width).add_(x.narrow(axis, cells + width, width))
            x = inner
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        return pad_periodic(gradients[0], ctx.width), None


def _fold(x: Tensor, width: int) -> Tensor:
    folded: Tensor = _Fold.apply(x, width)  # type: ignore[no-untyped-call]
    return folded


def pad_periodic(x: Tensor, width: int) -> Tensor:
    """Wrap `width` cells around every side of the spatial axes."""
    padded: Tensor = _Wrap.apply(x, width)  # type: ignore[no-untyped-call]
    return padded


def activate(x: Tensor) -> Tensor:
    """Leaky rectifier."""
    return functional.leaky_relu(x, SLOPE)


def space_to_depth(x: Tensor) -> Tensor:
    """Fold blocks of 2 cells per axis into channels: (n, c, N, ...) -> (n, c 2^d, N/2, ...)."""
    n, c, *grid = x.shape
    split = x.reshape(n, c, *(size for g in grid for size in (g // 2, 2)))
    d = len(grid)
    order = (0, 1, *(3 + 2 * i for i in range(d)), *(2 + 2 * i for i in range(d)))
    return split.permute(order).reshape(n, c * 2**d, *(g // 2 for g in grid))


def depth_to_space(x: Tensor) -> Tensor:
    """Undo `space_to_depth`."""
    n, c, *grid = x.shape
    d = len(grid)
    split = x.reshape(n, c // 2**d, *(2,) * d, *grid)
    pairs = itertools.chain.from_iterable((2 + d + i, 2 + i) for i in range(d))
    return split.permute(0, 1, *pairs).reshape(n, c // 2**d, *(2 * g for g in grid))


FINE = 16
"""Fewest cells per side at which a convolution rounds, if it is to."""
WIDE = 32
"""Fewest channels that go into one that may, and that leave it: the last layer says what is added to a field, to the last bit."""


class Convolution(nn.Module):
    """A periodic convolution.

    Parameters
    ----------
    dimension : {2, 3}
        Spatial axes.
    channels_in, channels_out : int
        Channels.
    width : int
        Odd number of cells the kernel spans.
    gain : float
        Scatter of the weights over that of variance-keeping ones; 0 starts the layer at zero.
    bias : bool
        Whether a number is added to each channel.

    Attributes
    ----------
    rounded : bool
        Whether it computes in bfloat16, on grids of at least `FINE` cells; see `round_convolutions`.
    """

    def __init__(
        self,
        dimension: int,
        channels_in: int,
        channels_out: int,
        *,
        width: int = 3,
        gain: float = 1.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.dimension, self.width, self.rounded = dimension, width, False
        scale = gain / math.sqrt(channels_in * width**dimension)
        shape = (channels_out, channels_in, *(width,) * dimension)
        self.weight = nn.Parameter(torch.randn(shape) * scale)
        self.bias = nn.Parameter(torch.zeros(channels_out)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (n, c, N, ...) -> (n, c', N, ...)."""
        weight: Tensor = self.weight
        bias: Tensor | None = self.bias
        rounded = self.rounded and x.shape[-1] >= FINE
        if rounded:
            x, weight = x.bfloat16(), weight.bfloat16()
            bias = None if bias is None else bias.bfloat16()
        if self.width > 1:
            x = pad_periodic(x, self.width // 2)
        found = _CONVOLVE[self.dimension](x, weight, bias)
        return found.float() if rounded else found


def round_convolutions(network: nn.Module, *, rounded: bool = True) -> None:
    """Let the wide convolutions of a network take and give bfloat16 numbers, or no longer.

    Only for learning: it is twice as fast on a CPU that has such products, and gradients keep their direction. Inside
    a convolution products are summed in float32; weights, and everything between convolutions, are float32.
    """
    for part in network.modules():
        if isinstance(part, Convolution):
            part.rounded = rounded and min(part.weight.shape[:2]) >= WIDE


class _Halve(torch.autograd.Function):
    """Low-pass with [1, 3, 3, 1] / 8 along every axis and keep every second cell.

    `_Double` is its adjoint times 2^d, and the other way round. As convolutions with a fixed kernel, a channel a
    group, both cost twice to eight times as much, and a gradient that is differentiated once more came with
    gradients of the kernel.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401, ARG004
        for axis in range(2, x.ndim):
            pairs = x.reshape(*x.shape[:axis], -1, 2, *x.shape[axis + 1 :])
            even, odd = pairs.unbind(axis + 1)
            x = (even + odd).mul_(3 / 8)
            x.add_(odd.roll(1, axis), alpha=1 / 8).add_(even.roll(-1, axis), alpha=1 / 8)
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401, ARG004
        (gradient,) = gradients
        spread: Tensor = double(gradient) / 2 ** (gradient.ndim - 2)
        return spread


class _Double(torch.autograd.Function):
    """Interpolate linearly onto twice the cells."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401, ARG004
        for axis in range(2, x.ndim):
            halves = x.new_empty(*x.shape[: axis + 1], 2, *x.shape[axis + 1 :])
            for side, shift in enumerate((1, -1)):
                beside = x.roll(shift, axis)
                torch.lerp(beside, x, 3 / 4, out=halves.select(axis + 1, side))
            x = halves.flatten(axis, axis + 1)
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401, ARG004
        (gradient,) = gradients
        gathered: Tensor = halve(gradient) * 2 ** (gradient.ndim - 2)
        return gathered


def halve(x: Tensor) -> Tensor:
    """Low-pass and keep every second cell: (n, c, N, ...) -> (n, c, N/2, ...)."""
    coarse: Tensor = _Halve.apply(x)  # type: ignore[no-untyped-call]
    return coarse


def double(x: Tensor) -> Tensor:
    """Interpolate linearly onto twice the cells, the adjoint of `halve` times 2^d."""
    fine: Tensor = _Double.apply(x)  # type: ignore[no-untyped-call]
    return fine


class ResidualBlock(nn.Module):
    """3^d convolution, rectifier, 1^d convolution, and a skip; the branch starts at zero.

    Without normalisation, after fix-up initialisation (Zhang et al. 2019, arXiv:1901.09321) as in
    R3GAN (arXiv:2501.05441). `conditions` scale the hidden channels by 1 + W c, W starting at zero.

    Parameters
    ----------
    dimension, channels : int
        Spatial axes and channels.
    depth : int
        Number of residual blocks in the network: the first layer is scaled by depth^(-1/4).
    conditions : int
        Length of the vector of conditions; 0 for none.
    """

    def __init__(self, dimension: int, channels: int, *, depth: int, conditions: int = 0) -> None:
        super().__init__()
        gain = math.sqrt(2 / (1 + SLOPE**2)) * depth**-0.25
        self.spread = Convolution(dimension, channels, channels, gain=gain)
        self.gather = Convolution(dimension, channels, channels, width=1, gain=0.0, bias=False)
        self.scale = nn.Linear(conditions, channels) if conditions else None
        if self.scale is not None:
            nn.init.zeros_(self.scale.weight)
            nn.init.zeros_(self.scale.bias)

    def forward(self, x: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Map (n, c, N, ...) and (n, conditions) to (n, c, N, ...)."""
        hidden = activate(self.spread(x))
        if self.scale is not None and conditions is not None:
            factor = 1 + self.scale(conditions)
            hidden = hidden * factor[(...,) + (None,) * (x.ndim - 2)]
        change: Tensor = self.gather(hidden)
        return x + change
