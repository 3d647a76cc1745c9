"""N-body simulations: the particle-mesh code (`evolution`) and many boxes of it on Ray (`run`)."""
