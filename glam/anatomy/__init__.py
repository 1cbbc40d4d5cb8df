"""A picture of a breast to its landmarks: breast, upright picture, pectoral line, nipple, axis."""
