"""Units and gradients between processes."""
