"""What the sensors are: bands, wavelengths, ground sampling, and how numbers in files become reflectance.

Everything here is data. Band names are the canonical ones used everywhere inside (STAC common names);
`native` is the operator's name. reflectance = DN · gain + offset (1.0 = 100 %), by the `Scaling` that fits
the file; which one fits is decided in `scaling.py`, never here. `docs/sensors.md` is generated from this.

Sources: Sentinel-2 product metadata (central wavelengths of S2B; quantification value, special values, the
additive offset of processing baseline 04.00); USGS band designations of Landsat 5, 7, 8, 9 and the scale
factors of Collection 2; Chander, Markham, Helder 2009 (doi 10.1016/j.rse.2009.01.007) for the radiance ranges
and the solar irradiance of ETM+.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from codec.errors import InputError

# fmt: off
CANONICAL_BANDS = (
    "coastal", "blue", "green", "red", "rededge071", "rededge075", "rededge078", "nir", "nir08", "nir09",
    "cirrus", "swir16", "swir22", "lwir11", "pan",
)
# fmt: on

NAMED_BANDS = "named-bands"  # the sensor whose bands are what its files say


class Role(Enum):
    """Why a band is there; only surface bands are opened unless another is asked for by name."""

    SURFACE = "surface"
    CIRRUS = "cirrus"  # sees almost nothing of the ground: S2 B10 has a median DN of about 12
    THERMAL = "thermal"  # not a reflectance
    PAN = "pan"  # would set the pixel grid of the whole scene


@dataclass(frozen=True, slots=True)
class Band:
    """One spectral band of a sensor."""

    name: str  # canonical
    native: str  # the operator's name, such as B8A
    wavelength_nm: float  # centre
    gsd_m: float  # ground sampling distance as delivered
    aliases: tuple[str, ...] = ()  # other spellings met in files; case and punctuation do not matter
    role: Role = Role.SURFACE


@dataclass(frozen=True, slots=True)
class Scaling:
    """One way in which a sensor's files store reflectance: reflectance = DN · gain + offset."""

    name: str
    gain: float
    offset: float
    nodata: float | None = None  # DN that means "not measured"
    saturation: float | None = None  # DN of a saturated pixel
    saturated_is_valid: bool = False  # False: the DN is a flag; True: a measurement clipped at the top
    dtypes: tuple[str, ...] = ()  # integer types in which it is stored; empty: any
    flags: tuple[float, ...] = ()  # further DN that are flags, not measurements
    needs_sun: bool = False  # to be divided by the sine of the sun's elevation


@dataclass(frozen=True, slots=True)
class RadianceRange:
    """Calibration of an 8-bit radiance product: spectral radiance at QCALMIN and QCALMAX, W/(m² sr µm)."""

    lmin: float
    lmax: float
    esun: float  # mean solar irradiance above the atmosphere, W/(m² µm)


@dataclass(frozen=True, slots=True)
class Sensor:
    """A sensor and product level. The name goes into the `.nec` header: 1 to 16 of a–z 0–9 -."""

    name: str
    title: str
    bands: tuple[Band, ...]
    scalings: tuple[Scaling, ...]
    radiance: Mapping[str, RadianceRange] | None = None  # by canonical band name
    dn_max: float | None = None  # larger values in a file mean that it is not this product

    @property
    def scale(self) -> float:
        return self.scalings[0].gain

    @property
    def offset(self) -> float:
        return self.scalings[0].offset

    @property
    def nodata(self) -> float | None:
        return self.scalings[0].nodata

    @property
    def saturation(self) -> float | None:
        return self.scalings[0].saturation

    @property
    def band_names(self) -> tuple[str, ...]:
        """Canonical names in the operator's order."""
        return tuple(band.name for band in self.bands)

    def band(self, name: str) -> Band:
        """The band with this canonical name; InputError names the known ones."""
        for band in self.bands:
            if band.name == name:
                return band
        known = ", ".join(f"{b.name} ({b.native})" for b in self.bands)
        raise InputError(f"{self.name} has no band '{name}'", fix=f"known are {known}")

    def scaling(self, name: str) -> Scaling:
        for scaling in (*self.scalings, REFLECTANCE):
            if scaling.name == name:
                return scaling
        known = ", ".join(s.name for s in (*self.scalings, REFLECTANCE))
        raise InputError(f"{self.name} has no scaling '{name}'", fix=f"known are {known}")


# Files that already hold reflectance as floating-point numbers.
REFLECTANCE = Scaling("reflectance", 1.0, 0.0)


def _s2(level: str) -> tuple[Band, ...]:
    bands = (
        Band("coastal", "B01", 442.3, 60, ("B1", "coastal aerosol", "aerosol", "ultra blue")),
        Band("blue", "B02", 492.3, 10, ("B2",)),
        Band("green", "B03", 559.0, 10, ("B3",)),
        Band("red", "B04", 665.0, 10, ("B4",)),
        Band("rededge071", "B05", 703.8, 20, ("B5", "rededge1", "rededge", "red edge 1", "vre1")),
        Band("rededge075", "B06", 739.1, 20, ("B6", "rededge2", "red edge 2", "vre2")),
        Band("rededge078", "B07", 779.7, 20, ("B7", "rededge3", "red edge 3", "vre3")),
        Band("nir", "B08", 833.0, 10, ("B8", "near infrared", "nir1", "nir broad")),
        Band(
            "nir08", "B8A", 864.0, 20, ("B08A", "nir narrow", "narrow nir", "nir2", "rededge4", "red edge 4")
        ),
        Band("nir09", "B09", 943.2, 60, ("B9", "water vapour", "water vapor", "nir 09")),
        Band("cirrus", "B10", 1376.9, 60, ("swir cirrus",), Role.CIRRUS),
        Band("swir16", "B11", 1610.4, 20, ("swir1", "swir 16", "shortwave infrared 1")),
        Band("swir22", "B12", 2185.7, 20, ("swir2", "swir 22", "shortwave infrared 2")),
    )
    return tuple(
        band for band in bands if level == "l1c" or band.name != "cirrus"
    )  # L2A is delivered without B10


_S2_SCALINGS = (
    Scaling("no-offset", 1e-4, 0.0, nodata=0, saturation=65535),
    Scaling(
        "plus1000", 1e-4, -0.1, nodata=0, saturation=65535
    ),  # processing baseline 04.00, January 2022, on
)

# Wavelengths: centres of published ranges. The near infrared of TM and ETM+ is as broad as Sentinel-2 B08.
_TM_ETM = (
    Band("blue", "B1", 485, 30, ("SR_B1", "B01", "sr_band1", "band1", "nn10")),
    Band("green", "B2", 560, 30, ("SR_B2", "B02", "sr_band2", "band2", "nn20")),
    Band("red", "B3", 660, 30, ("SR_B3", "B03", "sr_band3", "band3", "nn30")),
    Band("nir", "B4", 835, 30, ("SR_B4", "B04", "sr_band4", "band4", "nn40", "nir08", "near infrared")),
    Band("swir16", "B5", 1650, 30, ("SR_B5", "B05", "sr_band5", "band5", "nn50", "swir1")),
    Band("swir22", "B7", 2215, 30, ("SR_B7", "B07", "sr_band7", "band7", "nn70", "swir2")),
    Band("lwir11", "B6", 11450, 60, ("ST_B6", "B06", "band6", "lwir", "thermal", "tir"), Role.THERMAL),
)
_ETM_PAN = (Band("pan", "B8", 710, 15, ("B08", "band8", "nn80", "panchromatic"), Role.PAN),)

# OLI's near infrared is as narrow as Sentinel-2 B8A (both centred on 865 nm), so it is nir08, as in STAC.
_OLI = (
    Band(
        "coastal",
        "B1",
        443,
        30,
        ("SR_B1", "B01", "sr_band1", "band1", "coastal aerosol", "aerosol", "ultra blue"),
    ),
    Band("blue", "B2", 482, 30, ("SR_B2", "B02", "sr_band2", "band2")),
    Band("green", "B3", 561, 30, ("SR_B3", "B03", "sr_band3", "band3")),
    Band("red", "B4", 655, 30, ("SR_B4", "B04", "sr_band4", "band4")),
    Band("nir08", "B5", 865, 30, ("SR_B5", "B05", "sr_band5", "band5", "nir", "near infrared")),
    Band("swir16", "B6", 1609, 30, ("SR_B6", "B06", "sr_band6", "band6", "swir1")),
    Band("swir22", "B7", 2201, 30, ("SR_B7", "B07", "sr_band7", "band7", "swir2")),
    Band("cirrus", "B9", 1373, 30, ("B09", "band9"), Role.CIRRUS),
    Band("lwir11", "B10", 10895, 100, ("ST_B10", "band10", "lwir", "thermal", "tirs1"), Role.THERMAL),
    Band("pan", "B8", 590, 15, ("B08", "band8", "panchromatic"), Role.PAN),
)
_C2_SR = Scaling("c2-sr", 2.75e-5, -0.2, nodata=0, saturation=65535, dtypes=("uint16",))
# 20000 is the saturation flag of the product guide; 16000 is the top of its valid range, where archives clip.
_SR_1E4 = Scaling("sr-1e4", 1e-4, 0.0, nodata=-9999, saturation=20000, flags=(16000.0,), dtypes=("int16",))
_L1_TOA = Scaling("l1-toa", 2e-5, -0.1, nodata=0, saturation=65535, dtypes=("uint16",), needs_sun=True)

_RED_GREEN_BLUE = (
    Band("red", "R", 650, 1, ("red",)),
    Band("green", "G", 550, 1, ("green",)),
    Band("blue", "B", 470, 1, ("blue",)),
)

# Display exports have no calibration; these factors bring their medians near those of reflectance products,
# so that an encoder sees plausible numbers. They are conventions of this project.
_NAIP_8BIT = Scaling("dn8", 0.4 / 255, 0.0, saturation=255, saturated_is_valid=True, dtypes=("uint8",))
_RGB_8BIT = Scaling("dn8", 0.3 / 255, 0.0, saturation=255, saturated_is_valid=True, dtypes=("uint8",))
_EXPORT_8BIT = Scaling("dn8", 0.4 / 255, 0.0, nodata=255, saturation=255, dtypes=("uint8",))
# As spectrometers' surface products are delivered.
_NAMED_1E4 = Scaling("sr-1e4", 1e-4, 0.0, nodata=-9999, dtypes=("int16", "uint16"))
# The gain is not constant: it follows from radiance, irradiance, sun and date (`radiance.py`).
_L7_RADIANCE = Scaling(
    "radiance8", 1.0, 0.0, nodata=0, saturation=255, saturated_is_valid=True, needs_sun=True
)

# ETM+ in the usual gain states over land: band 4 low, the others high. QCALMIN 1, QCALMAX 255.
_L7_RANGES = MappingProxyType(
    {
        "blue": RadianceRange(-6.2, 191.6, 1997.0),
        "green": RadianceRange(-6.4, 196.5, 1812.0),
        "red": RadianceRange(-5.0, 152.9, 1533.0),
        "nir": RadianceRange(-5.1, 241.1, 1039.0),
        "swir16": RadianceRange(-1.0, 31.06, 230.8),
        "swir22": RadianceRange(-0.35, 10.80, 84.90),
    }
)

_ALL = (
    Sensor(
        "sentinel2-l1c",
        "Sentinel-2 MSI, level 1C: reflectance above the atmosphere",
        _s2("l1c"),
        _S2_SCALINGS,
    ),
    Sensor("sentinel2-l2a", "Sentinel-2 MSI, level 2A: surface reflectance", _s2("l2a"), _S2_SCALINGS),
    Sensor("landsat5", "Landsat 5 TM, surface reflectance", _TM_ETM, (_C2_SR, _SR_1E4)),
    Sensor("landsat7", "Landsat 7 ETM+, surface reflectance", _TM_ETM + _ETM_PAN, (_C2_SR, _SR_1E4)),
    Sensor("landsat8", "Landsat 8 OLI", _OLI, (_C2_SR, _SR_1E4, _L1_TOA)),
    Sensor("landsat9", "Landsat 9 OLI-2", _OLI, (_C2_SR, _L1_TOA)),
    Sensor(
        "landsat7-dn8",
        "Landsat 7 ETM+, level 1, 8-bit radiance",
        tuple(band for band in _TM_ETM if band.role is Role.SURFACE),
        (_L7_RADIANCE,),
        radiance=_L7_RANGES,
        dn_max=255,
    ),
    Sensor(
        "naip",
        "NAIP aerial imagery, 8-bit",
        (*_RED_GREEN_BLUE, Band("nir", "N", 850, 1, ("NIR", "near infrared", "infrared"))),
        (_NAIP_8BIT,),
        dn_max=255,
    ),
    Sensor("rgb", "any red, green, blue picture, 8-bit", _RED_GREEN_BLUE, (_RGB_8BIT,), dn_max=255),
    # Bands are what a file says (`codec.scene.own_names`).
    Sensor(
        NAMED_BANDS,
        "any imager whose bands say what they are, by name, wavelength or date: spectrometers, stacks of dates",
        (),
        (_NAMED_1E4,),
    ),
    Sensor("s2-export8", "Sentinel-2, 8-bit display export", _s2("l1c"), (_EXPORT_8BIT,), dn_max=255),
)

SENSORS: Mapping[str, Sensor] = MappingProxyType({s.name: s for s in _ALL})


def sensor(name: str) -> Sensor:
    """The sensor with this name; InputError lists the known ones."""
    try:
        return SENSORS[name]
    except KeyError:
        raise InputError(f"unknown sensor '{name}'", fix=f"known are {', '.join(SENSORS)}") from None
