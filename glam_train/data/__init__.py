"""From tables and phantoms to batches: pairs, the prepared cache, augmentation, vocabulary."""
