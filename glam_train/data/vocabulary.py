"""The tokenizer of a run: WordPiece trained on its own reports, with every word of the class prompts in it."""

from collections.abc import Sequence
from typing import Any

from glam.words.labels import BIRADS_3, BIRADS_5, BIRADS_7
from glam.words.report import class_prompts, report_text
from glam.words.rewording import table_words
from glam.words.tokens import Tokenizer, train_wordpiece
from glam.words.wording import LOCATIONS, Style
from glam_train.data.captions import facts_of


def report_vocabulary(
    records: Sequence[dict[str, Any]],
    *,
    style: Style,
    places: bool = False,
    reword: bool = False,
    vocab_size: int = 4000,
) -> Tokenizer:
    """Train on the reports of cache records and on all class prompts of the style.

    `places`: with every word of place, for reports whose words are turned into others (`glam.words.wording.TURNED`).
    `reword`: with every word of the table that rewords reports.
    """
    reports = [report_text(facts_of(record), style=style) for record in records]
    prompts = [
        prompt for classes in (BIRADS_3, BIRADS_5, BIRADS_7) for prompt in class_prompts("birads", classes, style=style)
    ]
    others = [prompt for task in ("density", "mass") for prompt in class_prompts(task, style=style)]
    unknown = "This patient is unknown, unknown, and unknown years old"  # what masking writes
    located = list(LOCATIONS.values()) if places else []
    other_words = [table_words()] if reword else []
    return train_wordpiece([*reports, *prompts, *others, *located, unknown, *other_words], vocab_size=vocab_size)
