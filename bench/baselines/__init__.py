"""The smallest servers that one would write without this project's own: what `bench.serve` compares with."""
