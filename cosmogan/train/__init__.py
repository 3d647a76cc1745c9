"""Training: data, the step, the loop (which knows no Ray), and the run through Ray Train."""
