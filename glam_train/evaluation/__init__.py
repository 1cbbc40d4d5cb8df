"""Figures of a model, and the pages written from them."""
