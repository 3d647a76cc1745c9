"""Weights that come with the package, each with a card in JSON."""
