"""What the text tower reads: reports, class prompts, tokens, and the labels they speak of."""
