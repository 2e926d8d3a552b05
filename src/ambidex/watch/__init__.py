"""Watching models: looks at what arrived, drift, harm, rules, incidents. It judges; serving only records."""
