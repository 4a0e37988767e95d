"""The speed suite: every fast way of ``poisoning`` beside the plain way to the same result.

``python -m benchmarks`` prints and stores ratios of processor time, each with a check that both
sides did the same thing. docs/performance.md explains how to read them.
"""
