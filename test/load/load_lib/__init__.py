"""The parts of the benchmark: `bench` beside this folder puts them together."""
