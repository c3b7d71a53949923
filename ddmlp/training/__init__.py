"""Training: sends units out, adds the gradients that come back, and applies the updates. No sockets, no Ray."""
