"""Datasets on disk: reading, writing and converting them."""
