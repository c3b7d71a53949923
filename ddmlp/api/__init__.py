"""The Python API, which the commands use, too. Its names are those of `ddmlp` itself."""

CLASSES = 10  # of a stream, if nothing says more
