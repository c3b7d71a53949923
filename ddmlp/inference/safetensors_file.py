"""A model's weights as safetensors (https://huggingface.co/docs/safetensors; needs the extra safetensors).

The tensors W1 (inputs, hidden) and W2 (hidden, classes), and texts that say how to use them.
"""

from safetensors.numpy import save

from ddmlp.inference.model import Model


def to_safetensors(model: Model, about: dict[str, str]) -> bytes:
    """The file, with `about` as its metadata."""
    written: bytes = save({"W1": model.weights.w1, "W2": model.weights.w2}, metadata=about)
    return written
