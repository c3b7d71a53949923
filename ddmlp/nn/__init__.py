"""The network of the note: forward pass, gradients and update. No input or output."""
