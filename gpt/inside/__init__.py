"""What a model consists of, and pictures of its training."""
