"""The web application that recognises digits and shows runs; ddmlp.serve serves it."""
