"""Measure maps of other people, FITS images of any byte order, and draw what is found.

    python benchmarks/maps.py map.fits another.fits --smoothing 2 -o maps.png

A map is cut to a square, and standardised: mean 0, scatter 1 after smoothing. It is measured as if it
were periodic, which a patch of the sky is not: what reaches over its edges is wrong, and counts for the
less the more cells there are; a mask is measured as if it were sky. Lengths are in cells.
"""

import argparse
from pathlib import Path

import numpy as np

from cosmogan.measure import (
    bispectra,
    gaussian_expectation,
    minkowski,
    peaks_and_minima,
    power_spectra,
    smooth,
)

HEIGHTS = np.linspace(-3, 6, 37)
"""Edges of the bins of peak height [standard deviations]."""
TWINS = 20
"""Gaussian maps with the power spectrum of each, for comparison."""


def read_square(path):
    """Return the first image of a FITS file as float64, cut to the largest square at its corner."""
    from astropy.io import fits

    with fits.open(path) as file:
        image = next(unit.data for unit in file if unit.data is not None)
    side = min(image.shape)
    return np.asarray(image[:side, :side], dtype=np.float64)


def standardise(image, smoothing):
    """Return an image smoothed over some cells, with mean 0 and scatter 1."""
    smoothed = smooth(image, smoothing)
    return (smoothed - smoothed.mean()) / smoothed.std()


def gaussian_twins(image):
    """Return maps of the same power in every mode, with the phases of white noise."""
    amplitude = np.abs(np.fft.rfft2(image))
    phases = np.fft.rfft2(np.random.default_rng(1).standard_normal((TWINS, *image.shape)))
    return np.fft.irfft2(amplitude * phases / np.abs(phases), s=image.shape)


def measure(images):
    """Return power, reduced bispectrum, peaks and Minkowski functionals of standardised maps."""
    side = float(images.shape[-1])
    k, power, _ = power_spectra(images, side)
    sides, _, reduced, _ = bispectra(images, side)
    peaks = np.array([peaks_and_minima(image, HEIGHTS).peaks[1:-1] for image in images])
    nu, functionals = minkowski(images, side)
    return {
        "power": (k, power),
        "reduced": (sides[:, 0], reduced),
        "peaks": ((HEIGHTS[1:] + HEIGHTS[:-1]) / 2, peaks),
        **{f"v{j}": (nu, functionals[:, j]) for j in range(3)},
    }


def gradient(image):
    """Return the root mean square of the length of the gradient [1 / cell]."""
    n = np.fft.fftfreq(len(image)) * 2 * np.pi
    square = n[:, None] ** 2 + n[: image.shape[1] // 2 + 1] ** 2
    parts = np.where(np.arange(image.shape[1] // 2 + 1) % (image.shape[1] / 2) == 0, 1, 2)
    return np.sqrt((np.abs(np.fft.rfft2(image)) ** 2 * square * parts).sum()) / image.size


def draw(maps, out, smoothing):
    """Draw each map above what was measured of it, with its Gaussian twins in grey."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(18, 3.2 * len(maps) + 0.5), layout="constrained")
    rows = figure.subplots(len(maps), 6, squeeze=False)
    for axes, (name, image) in zip(rows, maps.items(), strict=True):
        here, twins = measure(image[None]), measure(gaussian_twins(image))
        axes[0].imshow(image, cmap="inferno", vmin=-2, vmax=5, origin="lower")
        axes[0].set(xticks=[], yticks=[])
        axes[0].set_title(name, fontsize=9)
        titles = {
            "power": "power",
            "reduced": "$B / 3P^2$",
            "peaks": "peaks",
            "v1": "$V_1$, length",
            "v2": "$V_2$, Euler number",
        }
        for panel, (key, title) in zip(axes[1:], titles.items(), strict=True):
            x, value = here[key]
            low, high = np.percentile(twins[key][1], (2.5, 97.5), axis=0)
            # Beyond, smoothing has left nothing but rounding.
            kept = x < 1.5 / max(smoothing, 0.5) if key in ("power", "reduced") else x < np.inf
            panel.fill_between(
                x[kept], low[kept], high[kept], color="0.8", lw=0, label="Gaussian twins, 95 %"
            )
            panel.plot(x[kept], value[0][kept], color="#d55e00", lw=1.6, label="map")
            panel.set_title(title)
            panel.set_xlabel("k [1 / cell]" if key in ("power", "reduced") else r"$\nu$")
        nu = here["v1"][0]
        theory = gaussian_expectation(nu, 1.0, gradient(image), 2)
        for j, panel in ((1, axes[4]), (2, axes[5])):
            panel.plot(nu, theory[j], color="k", ls="--", lw=1, label="Gaussian field")
        axes[1].set(xscale="log", yscale="log")
        axes[2].set(xscale="log")
        for panel in axes[1:3]:
            panel.set_xticks((0.03, 0.1, 0.3), ("0.03", "0.1", "0.3"))
            panel.tick_params(axis="x", which="minor", labelbottom=False)
    handles, labels = rows[0, 4].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle(f"smoothed over {smoothing:g} cells, in standard deviations")
    figure.savefig(out, dpi=80)


def main():
    """Parse, measure and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("maps", nargs="+", type=Path)
    parser.add_argument("--smoothing", type=float, default=2.0, help="cells")
    parser.add_argument("-o", "--output", type=Path, default=Path("maps.png"))
    given = parser.parse_args()
    maps = {path.stem: standardise(read_square(path), given.smoothing) for path in given.maps}
    draw(maps, given.output, given.smoothing)
    print(
        "| map | cells | skewness | peaks above 3 | largest abs(V1 / Gaussian - 1), abs(nu) < 2 |"
    )
    print("|---|---|---|---|---|")
    for name, image in maps.items():
        found = measure(image[None])
        nu, length = found["v1"]
        theory = gaussian_expectation(nu, 1.0, gradient(image), 2)[1]
        off = np.abs(length[0] / theory - 1)[np.abs(nu) < 2].max()
        high = found["peaks"][1][0][HEIGHTS[:-1] >= 3].sum()
        print(f"| {name} | {len(image)}^2 | {(image**3).mean():.2f} | {high:.0f} | {off:.2f} |")


if __name__ == "__main__":
    main()
