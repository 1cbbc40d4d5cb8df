"""A 3-D breast phantom projected to CC and MLO mammograms, with the truth of every point."""
