"""The tables of a recipe that say which universes it is of: one, or points in ranges of some parameters."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Range = tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]


class Table(BaseModel):
    """A table of a recipe: frozen, and closed to keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class CosmologyTable(Table):
    """A flat LCDM cosmology with massless neutrinos."""

    Omega_m: Annotated[float, Field(gt=0.05, lt=1)] = 0.3089
    """Matter density today over the critical density."""
    Omega_b: Annotated[float, Field(gt=0.005, lt=0.2)] = 0.0486
    """Baryon density today over the critical density."""
    h: Annotated[float, Field(gt=0.3, lt=1.2)] = 0.6774
    """Hubble constant today [100 km/s/Mpc]."""
    n_s: Annotated[float, Field(gt=0.5, lt=1.5)] = 0.9667
    """Slope of the primordial spectrum."""
    sigma_8: Annotated[float, Field(gt=0.001, lt=2)] = 0.8159
    """Scatter of the linear density in spheres of 8 Mpc/h today."""

    @model_validator(mode="after")
    def _baryons_are_matter(self) -> Self:
        if self.Omega_b >= self.Omega_m:
            raise ValueError(f"Omega_b = {self.Omega_b} must be below Omega_m = {self.Omega_m}")
        return self


class RangesTable(Table):
    """From where to where each parameter of the cosmology goes; what is not named stays."""

    Omega_m: Range | None = None
    """Matter density."""
    Omega_b: Range | None = None
    """Baryon density."""
    h: Range | None = None
    """Hubble constant [100 km/s/Mpc]."""
    n_s: Range | None = None
    """Slope of the primordial spectrum."""
    sigma_8: Range | None = None
    """Scatter of the linear density in spheres of 8 Mpc/h."""

    @model_validator(mode="after")
    def _low_is_below_high(self) -> Self:
        given = self.given()
        if not given:
            raise ValueError("name at least one parameter, e.g. sigma_8 = [0.6, 1.0]")
        for name, (low, high) in given.items():
            if not low < high:
                raise ValueError(f"{name} = [{low}, {high}]: the first must be below the second")
        return self

    def given(self) -> dict[str, tuple[float, float]]:
        """Return the ranges that were named."""
        return {name: value for name, value in self if value is not None}


class PointsTable(Table):
    """Many cosmologies instead of one: each side of the split gets Sobol points of its own."""

    ranges: RangesTable
    """The parameters that vary."""
    train: Count = 64
    """Cosmologies the networks learn from, each with `boxes.train` boxes."""
    validation: Count = 8
    """Cosmologies that choose the checkpoint."""
    test: Count = 8
    """Cosmologies held out for the verdict."""
