"""Bundles: a version's files, sealed under one digest; verified and tried in a child before they are opened."""
