"""Emulation: seeds to fields, in memory and, through Ray, on disk."""
