"""Bytes to a View: `read.read_view` from top to bottom, one module a step and one a format."""
