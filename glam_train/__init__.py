"""Pretraining and evaluation of GLAM."""
