"""A fleet as its devices: what they would do is planned from a seed, and done for real over the service's own wires."""
