"""The network of the note: forward pass, gradients and update. No input or output."""

import time

BEGAN = time.time()  # seconds since 1970; before this, no other source of this package has been read
