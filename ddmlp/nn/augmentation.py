"""How the images of training rows are distorted: the setting `augment`, as text and as numbers."""

from dataclasses import dataclass

from ddmlp.errors import ConfigError

# For each kind, its parameters and their defaults. Each distortion is drawn uniformly within these limits.
KINDS = {
    "shift": {"pixels": 1.0},
    "affine": {"rotation": 10.0, "scale": 0.1, "shear": 0.1, "pixels": 0.0},
    "elastic": {"alpha": 36.0, "sigma": 4.5, "rotation": 10.0, "scale": 0.1, "shear": 0.1, "pixels": 0.0},
}
RANGES = {
    "alpha": (0.0, 1000.0),
    "sigma": (0.5, 100.0),
    "rotation": (0.0, 180.0),
    "scale": (0.0, 0.9),
    "shear": (0.0, 2.0),
    "pixels": (0.0, 1000.0),
}


@dataclass(frozen=True)
class Augmentation:
    """The limits of the distortions of an image. What is 0 is not done.

    Parameters
    ----------
    alpha : float
        The scale of the displacements: pixels are moved by alpha times noise from -1 to 1, smoothed.
    sigma : float
        The standard deviation of the Gaussian filter that smooths the noise, in pixels.
    rotation : float
        The largest angle of a rotation, in degrees.
    scale : float
        The largest difference of the scale from 1, drawn for each axis.
    shear : float
        The largest shear, in pixels per pixel.
    pixels : int
        The largest move along each axis, in whole pixels.
    text : str
        The setting with all parameters of its kind; see `of`.

    Examples
    --------
    >>> Augmentation.of("elastic:alpha=30").text
    'elastic:alpha=30,sigma=4.5,rotation=10,scale=0.1,shear=0.1,pixels=0'
    >>> Augmentation.of("shift:pixels=-1")
    Traceback (most recent call last):
    ddmlp.errors.ConfigError: augment is 'shift:pixels=-1': pixels is -1, expected a whole number from 0 to 1000
    """

    alpha: float = 0.0
    sigma: float = 1.0
    rotation: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    pixels: int = 0
    text: str = ""

    @classmethod
    def of(cls, text: str) -> "Augmentation":
        """The augmentation of a setting: KIND or KIND:NAME=NUMBER,...; what is not named has the default of the kind.

        Raises ConfigError.
        """
        kind, colon, given = text.partition(":")
        if kind not in KINDS:
            raise ConfigError(f"augment is {text!r}, expected one of {', '.join(KINDS)}, or nothing")
        values, named = dict(KINDS[kind]), set()
        for word in given.split(",") if colon else []:
            name, _, number = word.partition("=")
            if name not in values or name in named:
                names = ", ".join(values)
                raise ConfigError(f"augment is {text!r}: found {word!r}, expected NAME=NUMBER, each once, of {names}")
            named.add(name)
            values[name] = _number(text, name, number)
        canonical = f"{kind}:{','.join(f'{name}={_shown(value)}' for name, value in values.items())}"
        pixels = int(values.pop("pixels"))
        return cls(**values, pixels=pixels, text=canonical)

    @property
    def boxes(self) -> tuple[int, int, int]:
        """The odd widths of three filters, each a mean, which in sequence are nearly the Gaussian filter.

        Their variances, (width^2 - 1) / 12, add up to nearly sigma^2, for a
        sigma of 2 or more: P. Kovesi, "Fast almost-Gaussian filtering" (2010).

        >>> Augmentation(sigma=4.0).boxes
        (7, 7, 9)
        """
        due = 12 * self.sigma * self.sigma + 3
        low = next(width for width in range(1, 1000, 2) if 3 * (width + 2) ** 2 > due)
        wide = min(range(4), key=lambda count: abs((3 - count) * low**2 + count * (low + 2) ** 2 - due))
        one, two, three = (low + 2 * (place >= 3 - wide) for place in range(3))
        return one, two, three


def _number(text: str, name: str, number: str) -> float:
    low, high = RANGES[name]
    try:
        value = float(number)
    except ValueError:
        value = float("nan")
    if not low <= value <= high or (name == "pixels" and not value.is_integer()):
        what = "a whole number" if name == "pixels" else "a number"
        raise ConfigError(f"augment is {text!r}: {name} is {number}, expected {what} from {low:g} to {high:g}")
    return value


def _shown(value: float) -> str:
    """The shortest text that is this number."""
    return str(int(value)) if value.is_integer() else repr(value)
