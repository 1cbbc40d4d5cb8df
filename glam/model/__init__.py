"""The model in torch, which is imported here alone: towers, alignment module, checkpoint folder, runtime."""
