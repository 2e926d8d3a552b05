"""The statistical kernel: arrays and summaries in, estimates and verdicts out.

No files, no clock, no randomness of its own (seeds are passed in). Start with ``claim.py``.
"""
