"""The loop of an update, its gradients and schedules, and the folder of a run."""
