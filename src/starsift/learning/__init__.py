"""Parts that the networks share: the array backend, prediction in batches, metrics."""
