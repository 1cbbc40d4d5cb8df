"""The tokenizer of a folder of transformers."""

from pathlib import Path
from typing import NamedTuple

from glam.words.tokens import Tokenizer, from_vocab
from glam_train.weights.source import WeightsError
from glam_train.weights.stored import read_json


class FolderTokenizer(NamedTuple):
    """What a folder's text is cut into tokens by."""

    tokenizer: Tokenizer
    lower_case: bool
    files: tuple[Path, ...]
    """What was read."""


def folder_tokenizer(folder: Path) -> FolderTokenizer:
    """Return the tokenizer of a folder's tokenizer.json, or of its vocab.txt, which is a BERT's.

    Without a word on letter case a BERT's text is lower-cased, as transformers does it: BioClinicalBERT's folder has
    a cased vocabulary and says nothing, and is read so by all who use it.
    """
    settings = folder / "tokenizer_config.json"
    lower_case = bool(read_json(settings).get("do_lower_case", True))
    said = (settings,) if settings.is_file() else ()
    whole, vocabulary = folder / "tokenizer.json", folder / "vocab.txt"
    if whole.is_file():
        return FolderTokenizer(Tokenizer.from_file(whole), lower_case, (whole, *said))
    if vocabulary.is_file():
        words = from_vocab(vocabulary, lower_case=lower_case, extra=())
        return FolderTokenizer(words, lower_case, (vocabulary, *said))
    raise WeightsError(
        f"{folder} has neither tokenizer.json nor vocab.txt: save its tokenizer there with transformers' "
        "AutoTokenizer.from_pretrained(...).save_pretrained(...)"
    )
