"""Units out, gradients in, updates applied. No sockets, no Ray."""
