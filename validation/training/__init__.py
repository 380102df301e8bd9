"""Networks, configurations, a training run and its folder, the demonstration."""
