"""Published weights, by path: which layout a file or folder has, its towers, and the record of where they came from."""
