"""Real networks: data whose origin is known, training, and the demonstration."""
