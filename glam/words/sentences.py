"""A caller's own sentences: what of them is taken as prompts."""

from collections.abc import Sequence

from glam.findings import input_error

MAX_PROMPTS = 64
MAX_PROMPT_CHARS = 2000


def check_prompts(prompts: Sequence[str]) -> tuple[str, ...]:
    """Return the prompts without surrounding blanks and repeats; InputError for an empty or an endless one.

    TypeError for a text in place of a list of texts, whose letters would be taken for prompts.
    """
    if isinstance(prompts, str):
        raise TypeError(f"prompts is a list of sentences: [{prompts!r}]")
    texts = tuple(dict.fromkeys(text.strip() for text in prompts))
    if not all(texts):
        raise input_error("bad_prompt", "prompts", problem="one is empty")
    if len(texts) > MAX_PROMPTS:
        raise input_error(
            "bad_prompt", "prompts", problem=f"there are {len(texts)}, and at most {MAX_PROMPTS} are taken"
        )
    if any(len(text) > MAX_PROMPT_CHARS for text in texts):
        raise input_error("bad_prompt", "prompts", problem=f"one is longer than {MAX_PROMPT_CHARS} characters")
    return texts
