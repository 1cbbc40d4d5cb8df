"""A bundle in a Triton Inference Server: what its model repository is called, and the Runtime that asks it."""
