"""Report text -> token ids, by BERT's WordPiece or by a published model's own tokenizer; no torch, no transformers."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import tokenizers

CORE = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
RELEASED = ("[BOS]", "[EOS]", "[KEY]")
"""What the released code adds to BERT's special tokens."""
PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
DIGITS = "0123456789"
PAD_TOKENS = ("[PAD]", "<pad>", "<|padding|>", "<|finetune_right_pad_id|>", "<|endoftext|>", "</s>", "<unk>")
"""What pads, the first that a vocabulary has. Padding is masked, so that any token will do that a model knows."""


class Tokens(NamedTuple):
    """Token ids and the mask of those that are no padding."""

    ids: np.ndarray  # (text, token) int64
    mask: np.ndarray  # (text, token) int64


@dataclass(frozen=True)
class Tokenizer:
    """A vocabulary with its rules. "[SEP]" and the other special tokens mean themselves inside a text.

    What stands before and after a text is [CLS] and [SEP] where the vocabulary has them, otherwise what its own
    `tokenizer.json` puts there (a Llama's beginning, a RoBERTa's both, a GPT-2's nothing).
    """

    backend: "tokenizers.Tokenizer" = field(repr=False)

    @classmethod
    def from_file(cls, path: str | Path) -> "Tokenizer":
        """Return the tokenizer of a `tokenizer.json`; ValueError when it is missing, broken or cannot pad."""
        if not Path(path).is_file():
            raise ValueError(f"no tokenizer at {path}")
        return cls.from_json(Path(path).read_bytes(), where=path)

    @classmethod
    def from_json(cls, content: bytes, *, where: str | Path) -> "Tokenizer":
        """Return the tokenizer of what a `tokenizer.json` holds; `where` it was read, for the errors of `from_file`."""
        try:
            backend = _library().Tokenizer.from_buffer(content)
        except Exception as error:  # the library raises nothing narrower
            raise ValueError(f"{where} is no tokenizer.json: {error}") from None
        if isinstance(backend.model, _library().models.WordPiece):
            if missing := [token for token in CORE[:4] if backend.token_to_id(token) is None]:
                raise ValueError(f"the tokenizer at {where} has no {', '.join(missing)}: it is no BERT vocabulary")
        elif all(backend.token_to_id(token) is None for token in PAD_TOKENS):
            raise ValueError(f"the tokenizer at {where} has none of {', '.join(PAD_TOKENS)}: nothing to pad with")
        backend.no_truncation()
        backend.no_padding()
        return cls(backend)

    def save(self, path: str | Path) -> None:
        """Write `tokenizer.json`."""
        self.backend.save(str(path))

    @property
    def vocab_size(self) -> int:
        """Number of ids, special tokens included."""
        return self.backend.get_vocab_size()

    def token_id(self, token: str) -> int:
        """Return the id of a token; ValueError when the vocabulary has none."""
        token_id = self.backend.token_to_id(token)
        if token_id is None:
            raise ValueError(f"the vocabulary has no token {token!r}")
        return token_id

    @cached_property
    def pad_id(self) -> int:
        """Id of the token that pads."""
        return next(self.token_id(token) for token in PAD_TOKENS if self.backend.token_to_id(token) is not None)

    @cached_property
    def ends(self) -> tuple[list[int], list[int]]:
        """The ids before and after every text."""
        if all(self.backend.token_to_id(token) is not None for token in ("[CLS]", "[SEP]")):
            return [self.token_id("[CLS]")], [self.token_id("[SEP]")]
        bare, framed = (self.backend.encode("a", add_special_tokens=special).ids for special in (False, True))
        start = next(i for i in range(len(framed)) if framed[i : i + len(bare)] == bare)
        return framed[:start], framed[start + len(bare) :]

    def encode(self, texts: Sequence[str], *, max_tokens: int, wrap: bool = False) -> Tokens:
        """Return the ids of each text between its ends ([CLS] text [SEP]), padded to the longest; a long text is cut.

        What is cut keeps what stands after it. wrap: [CLS] [BOS] text [EOS] [SEP], as the released code trains.
        """
        if max_tokens < 2:
            raise ValueError(f"max_tokens {max_tokens} leaves no room for [CLS] and [SEP]")
        rows = [self._row(text, max_tokens=max_tokens, wrap=wrap) for text in texts]
        width = max(map(len, rows), default=0)
        ids = np.full((len(rows), width), self.pad_id, dtype=np.int64)
        mask = np.zeros((len(rows), width), dtype=np.int64)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
            mask[index, : len(row)] = 1
        return Tokens(ids, mask)

    def length(self, text: str) -> int:
        """Return how many tokens a text makes, with those before and after it ([CLS] and [SEP])."""
        return len(self.backend.encode(text, add_special_tokens=False).ids) + sum(map(len, self.ends))

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """Return the words of which the vocabulary has no pieces (those that become [UNK]), as written, each once.

        Vocabularies of bytes have pieces of every word and name none.
        """
        unk_token = getattr(self.backend.model, "unk_token", None)
        unknown = None if unk_token is None else self.backend.token_to_id(unk_token)
        encoding = self.backend.encode(text, add_special_tokens=False)
        pieces = zip(encoding.ids, encoding.offsets, strict=True)
        words = [text[start:end] for token_id, (start, end) in pieces if token_id == unknown]
        return tuple(dict.fromkeys(word for word in words if word != unk_token))

    def _row(self, text: str, *, max_tokens: int, wrap: bool) -> list[int]:
        # One text at a time: the library's own batches start threads, which a data loader's fork must not meet.
        body = self.backend.encode(text, add_special_tokens=False).ids
        if wrap:
            body = [self.token_id("[BOS]"), *body, self.token_id("[EOS]")]
        before, after = self.ends
        row = [*before, *body[: max_tokens - len(before) - len(after)], *after]
        return row or [self.pad_id]  # an empty text without ends: a tower needs one token


def from_vocab(path: str | Path, *, lower_case: bool = True, extra: Sequence[str] = RELEASED) -> Tokenizer:
    """Return the tokenizer of a `vocab.txt`, one token a line, equal to transformers' BertTokenizer.

    Special tokens of `extra` that the file lacks get the ids after its last.
    """
    lines = Path(path).read_text(encoding="utf-8").removesuffix("\n").split("\n")  # a token may hold U+2028
    if missing := [token for token in CORE[:4] if token not in lines]:
        raise ValueError(f"the vocabulary at {path} has no {', '.join(missing)}")
    return _build({token: token_id for token_id, token in enumerate(lines)}, lower_case=lower_case, extra=extra)


def with_special_tokens(tokenizer: Tokenizer, tokens: Sequence[str] = RELEASED) -> Tokenizer:
    """Return a tokenizer that knows these tokens too; those that it lacks get the ids after its last."""
    copy = Tokenizer.from_json(tokenizer.backend.to_str().encode(), where="the tokenizer")
    copy.backend.add_special_tokens(list(tokens))
    return copy


def train_wordpiece(texts: Iterable[str], *, vocab_size: int = 4000) -> Tokenizer:
    """Return the tokenizer of the words of these texts, lower-cased; the same texts in any order give the same.

    Its entries: special tokens, digits, punctuation, then whole words, the most frequent first (ties by alphabet), at
    most `vocab_size` in all. Numbers are spelled digit by digit, so that all of them are known. Every other word that
    did not come, or for which there is no room, is [UNK] and can be named: pieces that no text ever trained would only
    hide it.
    """
    fixed = [*CORE, *RELEASED, *DIGITS, *(f"##{digit}" for digit in DIGITS), *PUNCTUATION]
    if vocab_size < len(fixed):
        raise ValueError(f"vocab_size {vocab_size} is less than the {len(fixed)} entries that are always there")
    counts = _count_words(texts)
    words = sorted(counts.keys() - set(fixed), key=lambda word: (-counts[word], word))
    entries = [*fixed, *words][:vocab_size]
    return _build({token: token_id for token_id, token in enumerate(entries)}, lower_case=True, extra=RELEASED)


def _count_words(texts: Iterable[str]) -> Counter[str]:
    splitter = _build({token: token_id for token_id, token in enumerate(CORE)}, lower_case=True, extra=RELEASED).backend
    counts: Counter[str] = Counter()
    for text, times in Counter(texts).items():
        for special in (*CORE, *RELEASED):
            text = text.replace(special, " ")
        pieces = splitter.pre_tokenizer.pre_tokenize_str(splitter.normalizer.normalize_str(text))
        for word, _ in pieces:
            counts[word] += times
    return Counter({word: times for word, times in counts.items() if not set(word) <= set(DIGITS)})


def _build(vocab: dict[str, int], *, lower_case: bool, extra: Sequence[str]) -> Tokenizer:
    library = _library()
    backend = library.Tokenizer(library.models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    backend.normalizer = library.normalizers.BertNormalizer(lowercase=lower_case)
    backend.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
    backend.decoder = library.decoders.WordPiece()
    backend.add_special_tokens([token for token in (*CORE, *extra) if token in vocab or token in extra])
    frame_tokens = [(token, backend.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    backend.post_processor = library.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=frame_tokens
    )
    return Tokenizer(backend)


def _library() -> ModuleType:
    try:
        import tokenizers
    except ImportError as error:
        raise ImportError("text needs the tokenizers library: pip install glam-mammo[predict]") from error
    return tokenizers
