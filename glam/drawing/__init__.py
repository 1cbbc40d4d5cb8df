"""Pictures of a prediction and of an inspection."""
