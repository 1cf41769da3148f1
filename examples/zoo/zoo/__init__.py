"""Drives installed clients at a running gateway and tables what it decided of each."""
