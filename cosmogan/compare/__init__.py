"""Judging emulated fields against held-out simulations: verdict, floors, figures and the page."""
