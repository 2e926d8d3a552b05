"""Deliver: from an answer to a packaged, tested, gated version, and the loop that renews it."""
