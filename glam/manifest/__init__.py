"""The manifest: one table of images for training and cohorts alike. `table` reads it, `rules` holds its schema."""
