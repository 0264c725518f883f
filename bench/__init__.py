"""Benchmarks: Deputize, its peers and the floor of the disk, on the same work, side by side."""
