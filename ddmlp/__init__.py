"""ddmlp: a streaming distributed trainer whose result does not depend on who computed it."""

__version__ = "0.1.0"
