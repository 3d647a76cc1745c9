"""The networks: a generator that turns a Gaussian universe into a nonlinear one, and its judge."""
