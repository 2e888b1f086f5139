"""Order, leases, fairness, backpressure and dead letters; knows no prompts and no providers but their names."""
