"""Eight ways in which an emulator can be broken, each applied to fields that are right.

Every function takes fields (n, N, N), density over mean, and a generator of random numbers, and returns
as many fields. `copied` and `every_tenth_a_copy` also take the training fields.
"""

import numpy as np
import scipy.fft


def collapsed(fields, rng, kept=4):
    """Few different fields, shifted: the mean is that of the simulations, the scatter is not."""
    few = fields[rng.choice(len(fields), kept, replace=False)]
    return shifted(few[rng.integers(0, kept, len(fields))], rng)


def copied(fields, rng, training):
    """Training fields, shifted and turned."""
    return shifted(training[rng.choice(len(training), len(fields), replace=False)], rng)


def every_tenth_a_copy(fields, rng, training):
    """Right fields, every tenth of which is a training field, shifted and turned."""
    made = fields.copy()
    made[::10] = copied(made[::10], rng, training)
    return made


def tilted(fields, rng):
    """P 10 % too low at the largest scale, 10 % too high at the Nyquist frequency."""
    half = fields.shape[-1] / 2
    return filtered(fields, lambda n: np.sqrt(1.1) ** (2 * np.log(n / half**0.5) / np.log(half)))


def smoothed(fields, rng):
    """A Gaussian of a third of a cell: P 5 % low at half the Nyquist frequency, 20 % at it."""
    half = fields.shape[-1] / 2
    return filtered(fields, lambda n: np.exp(-0.5 * (np.pi * n / half / 3) ** 2 / 4.5))


def brushed(fields, rng):
    """Each field along an axis of its own: P of either direction 30 % off, of both right."""
    grid = fields.shape[-1]
    n = np.meshgrid(np.fft.fftfreq(grid) * grid, np.arange(grid // 2 + 1), indexing="ij")
    twice = (n[0] ** 2 - n[1] ** 2) / np.maximum(n[0] ** 2 + n[1] ** 2, 1)
    sign = rng.choice([-1, 1], len(fields))[:, None, None]
    modes = scipy.fft.rfft2(fields) * np.sqrt(1 + 0.3 * sign * twice)
    return np.maximum(scipy.fft.irfft2(modes, s=fields.shape[1:]), 0).astype(np.float32)


def shuffled(fields, rng):
    """The cells of each field in random order: the PDF is exact, there is no structure."""
    flat = fields.reshape(len(fields), -1)
    return rng.permuted(flat, axis=1).reshape(fields.shape)


def without_phases(fields, rng, rounds=60):
    """Random phases with the PDF of each field, and their mean P(k) within 1 %.

    Amplitudes and ranks are imposed in turn (Schreiber & Schmitz 1996); since tails so heavy do not go
    with these amplitudes and random phases, the amplitudes asked for are raised where P comes out low.
    """
    modes = scipy.fft.rfft2(fields)
    asked, wanted = np.abs(modes), (np.abs(modes) ** 2).mean(axis=0)
    ranks = np.sort(fields.reshape(len(fields), -1), axis=1)
    made = shuffled(fields, rng)
    for number in range(rounds):
        modes = scipy.fft.rfft2(made)
        if number > rounds // 4:
            asked *= smooth_ratio(wanted, (np.abs(modes) ** 2).mean(axis=0))
        modes *= asked / np.maximum(np.abs(modes), 1e-30)
        flat = scipy.fft.irfft2(modes, s=fields.shape[1:]).reshape(ranks.shape)
        order = np.argsort(np.argsort(flat, axis=1), axis=1)
        made = np.take_along_axis(ranks, order, axis=1).reshape(fields.shape)
    return made.astype(np.float32)


def smooth_ratio(wanted, found):
    """The root of the ratio of two mean spectra, by shells of |n|, mildly."""
    shell = wavenumbers(wanted.shape[0]).astype(int).ravel()
    above, below = (np.bincount(shell, of.ravel()) for of in (wanted, found))
    ratio = np.divide(above, below, out=np.ones_like(above), where=below > 0)
    return (ratio**0.25)[shell].reshape(wanted.shape)


def wavenumbers(grid):
    """|n| of the modes of a real transform."""
    return np.hypot(
        *np.meshgrid(np.fft.fftfreq(grid) * grid, np.arange(grid // 2 + 1), indexing="ij")
    )


def shifted(fields, rng):
    """Each field moved and turned at random."""
    out = np.empty_like(fields)
    for i, field in enumerate(fields):
        moved = np.roll(field, rng.integers(0, field.shape[0], 2), axis=(0, 1))
        turned = np.rot90(moved, rng.integers(4))
        out[i] = turned.T if rng.integers(2) else turned
    return out


def filtered(fields, factor):
    """Fields whose modes are multiplied by a function of |n|, the mean kept."""
    scale = factor(np.maximum(wavenumbers(fields.shape[-1]), 1))
    scale[0, 0] = 1
    return np.maximum(
        scipy.fft.irfft2(scipy.fft.rfft2(fields) * scale, s=fields.shape[1:]), 0
    ).astype(np.float32)


OF_STATISTICS = (collapsed, tilted, smoothed, brushed, shuffled, without_phases)
"""What the statistics of the fields must catch."""
OF_COPIES = (copied, every_tenth_a_copy)
"""What only a look at the fields themselves can catch."""
