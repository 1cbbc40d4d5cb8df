"""From a checkpoint to a bundle that needs no torch."""
