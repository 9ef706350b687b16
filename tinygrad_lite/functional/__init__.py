"""What is composed from ops and fused ops: activations, losses, norms, interpolation."""
