import click
import pytest

from cosmogan import options


def read(reader, text):
    return reader(None, None, text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("4GB", 4e9), ("500 MB", 5e8), ("2GiB", 2 * 1024**3), ("1.5k", 1500), ("10", 10)],
)
def test_sizes_are_read_as_people_write_them(text, size):
    assert read(options.size, text) == size


@pytest.mark.parametrize("text", ["", "GB", "4 Gigs", "-1GB", "1e9", "4..GB"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(click.BadParameter, match="give a size as 4GB"):
        read(options.size, text)


def test_lists_and_values_are_read_and_nothing_is_nothing():
    assert read(options.names, "power, pdf") == ("power", "pdf")
    assert read(options.values, "Omega_m=0.3, redshift=1") == {"Omega_m": 0.3, "redshift": 1.0}
    assert [read(reader, None) for reader in (options.names, options.size, options.values)] == [
        None,
        None,
        {},
    ]
    with pytest.raises(click.BadParameter, match="NAME=VALUE"):
        read(options.values, "Omega_m")
