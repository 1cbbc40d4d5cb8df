"""From tables and phantoms to batches: manifests, pairs, the prepared cache, augmentation, vocabulary."""
