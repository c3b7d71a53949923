"""The URIs of streams in brokers, and the settings of their clients."""

import os
import re
import ssl
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from ddmlp.data.sources.payloads import check_form
from ddmlp.errors import ConfigError, printable

MAX_SETTINGS = 1 << 16  # bytes of a file of settings
_SHAPE = re.compile(r"([1-9][0-9]{0,7})x([1-9][0-9]{0,7})")


class StreamUri(NamedTuple):
    """The URI of a stream: SCHEME://HOST:PORT/STREAM?NAME=VALUE&...

    Parameters
    ----------
    scheme, host, port, stream
        Its parts. The stream's name is decoded: %2F is a slash.
    form : str
        The option `format`, the form of the payloads; see `Payloads`.
    image_shape : (int, int) or None
        The option `shape`, HEIGHTxWIDTH.
    settings : dict of str to str
        The settings of the client, from the file that the option `config` names.
    more : dict of str to str
        The other options.
    """

    scheme: str
    host: str
    port: int
    stream: str
    form: str
    image_shape: tuple[int, int] | None
    settings: Mapping[str, str]
    more: Mapping[str, str]

    @property
    def name(self) -> str:
        """The URI without options, for messages."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return printable(f"{self.scheme}://{host}:{self.port}/{self.stream}")

    @classmethod
    def parse(
        cls, uri: str, form: str, port: int, settings: Collection[str] | None, more: Collection[str] = ()
    ) -> "StreamUri":
        """Parse a URI.

        Parameters
        ----------
        form : str
            The form of such URIs, for messages.
        port : int
            The default port.
        settings : collection of str or None
            The settings that a file may have; None: the client checks them.
        more : collection of str
            The names of other options.

        Raises
        ------
        ConfigError
            The URI has another form, has a user or a password, or names a file that cannot be used.

        Examples
        --------
        >>> uri = StreamUri.parse("redis://localhost/digits?format=raw&shape=28x28", "redis://...", 6379, ())
        >>> uri.name, uri.form, uri.image_shape
        ('redis://localhost:6379/digits', 'raw', (28, 28))
        """
        try:
            parts = urlsplit(uri)
            host, found, stream = parts.hostname, parts.port, unquote(parts.path.removeprefix("/"), errors="strict")
            pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query), max_num_fields=20)
        except ValueError:
            raise ConfigError(f"the URI is malformed, expected {form}") from None
        if "@" in parts.netloc:  # the URI is shown and logged, so the message does not repeat it
            raise ConfigError(
                f"the {parts.scheme} URI has a user or a password, expected {form}; put them into a file, and name it "
                "by ?config=FILE"
            )
        if not host or found == 0 or not stream or not stream.isprintable() or len(stream) > 200 or parts.fragment:
            raise ConfigError(f"{printable(uri)} is malformed, expected {form}")
        options = dict(pairs)
        names = {"format", "shape", "config", *more}
        if len(options) < len(pairs) or not options.keys() <= names:
            raise ConfigError(
                f"the options of {parts.scheme}://{parts.netloc}{parts.path} are "
                f"{printable(', '.join(name for name, _ in pairs))}; expected each of {', '.join(sorted(names))} at "
                "most once"
            )
        check_form(format_ := options.pop("format", "arrow"))
        shape, path = options.pop("shape", None), options.pop("config", None)
        sides = _SHAPE.fullmatch(shape or "")
        if shape is not None and not sides:
            raise ConfigError(f"the shape is {printable(shape)!r}, expected HEIGHTxWIDTH, for example 28x28")
        return cls(
            parts.scheme,
            host,
            port if found is None else found,
            stream,
            format_,
            (int(sides[1]), int(sides[2])) if sides else None,
            {} if path is None else read_settings(Path(path), settings),
            options,
        )


def read_settings(path: Path, names: Collection[str] | None) -> dict[str, str]:
    """Read a file of lines NAME=VALUE; empty ones and those that begin with # are ignored.

    names: the allowed ones; None: all. Raises ConfigError; no message has a value, which may be a password.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SETTINGS + 1)
        text = content.decode()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; expected lines NAME=VALUE") from None
    except ValueError:
        raise ConfigError(f"{path} is not text, expected lines NAME=VALUE") from None
    if len(content) > MAX_SETTINGS:
        raise ConfigError(f"{path} has more than {MAX_SETTINGS:,} bytes, expected lines NAME=VALUE")
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not name or name in found:
            raise ConfigError(f"{path}, line {number}, is not NAME=VALUE with a new name")
        if names is not None and name not in names:
            raise ConfigError(f"{path}, line {number}, has {printable(name)!r}, expected {', '.join(sorted(names))}")
        found[name] = value
    return found


def flag_of(name: str, value: str) -> bool:
    """Return a setting as a bool; raises ConfigError if it is neither true nor false."""
    if value.lower() not in ("true", "false"):
        raise ConfigError(f"the setting {name} is {printable(value)!r}, expected true or false")
    return value.lower() == "true"


def from_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the settings whose variables are set. variables: by the names of the settings."""
    return {name: os.environ[variable] for name, variable in variables.items() if os.environ.get(variable)}


def tls_context(settings: Mapping[str, str]) -> ssl.SSLContext:
    """Return what verifies a server by the settings tls_ca, tls_cert and tls_key, files; raises ConfigError."""
    try:
        tls = ssl.create_default_context(cafile=settings.get("tls_ca"))
        if certificate := settings.get("tls_cert"):
            tls.load_cert_chain(certificate, settings.get("tls_key"))
    except OSError as error:
        raise ConfigError(f"the files of tls_ca, tls_cert or tls_key cannot be used: {error}") from None
    return tls
