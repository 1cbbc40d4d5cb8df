"""Bytes of a header -> text, by Specific Character Set and the escape sequences in it. PS3.5 6.1.2, PS3.3 C.12.1.1.2.

Escape sequences are followed whether or not the header declares their character set. Bytes that no character set
accounts for become characters of a private area, one a byte: they stay distinct, and half of a two-byte character is
never taken for a letter.
"""

import re
import unicodedata

CODECS = {
    "6": "ascii",
    "13": "cp932",
    "58": "gb18030",
    "87": "ascii",
    "100": "latin_1",
    "101": "iso8859_2",
    "109": "iso8859_3",
    "110": "iso8859_4",
    "126": "iso8859_7",
    "127": "iso8859_6",
    "138": "iso8859_8",
    "144": "iso8859_5",
    "148": "iso8859_9",
    "149": "cp949",
    "159": "ascii",
    "166": "tis_620",
    "192": "utf_8",
    "203": "iso8859_15",
}
"""Python's codec of a registration (ISO IR 100 ...); 87 and 159 are reached by their escape sequences only."""
ALIASES = {
    "UTF8": "utf_8",
    "GB18030": "gb18030",
    "GBK": "gb18030",
    "GB2312": "gb18030",
    "CP936": "gb18030",
    "BIG5": "big5hkscs",
    "SHIFTJIS": "cp932",
    "SJIS": "cp932",
    "CP932": "cp932",
    "EUCJP": "euc_jp",
    "EUCKR": "cp949",
    "CP949": "cp949",
    "ASCII": "ascii",
    "USASCII": "ascii",
    "LATIN1": "latin_1",
    "KOI8R": "koi8_r",
}
"""Names that are no defined terms, letters and digits only."""
WITHOUT_ESCAPE = {"58": "gb2312", "87": "euc_jp", "149": "euc_kr", "159": "euc_jp"}
"""Registrations of two bytes -> Python's codec of their bytes in the upper half, if the escape is missing."""
ESCAPE = re.compile(rb"(\x1b[\x20-\x2f]*[\x30-\x7e]?)")
ONE_BYTE = (b"\x1b(B", b"\x1b(J")
"""What makes the lower half ASCII again: ASCII itself, and JIS X 0201, which differs in the yen sign."""
TWO_BYTES = (b"\x1b$B", b"\x1b$@", b"\x1b$A", b"\x1b$(C", b"\x1b$(D")
"""What makes the lower half pairs of bytes: the escape sequences that Python's iso2022_jp_2 knows."""
UPPER_HALF = {
    b"\x1b-A": "latin_1",
    b"\x1b-B": "iso8859_2",
    b"\x1b-C": "iso8859_3",
    b"\x1b-D": "iso8859_4",
    b"\x1b-F": "iso8859_7",
    b"\x1b-G": "iso8859_6",
    b"\x1b-H": "iso8859_8",
    b"\x1b-L": "iso8859_5",
    b"\x1b-M": "iso8859_9",
    b"\x1b-T": "tis_620",
    b"\x1b-b": "iso8859_15",
    b"\x1b)I": "cp932",
    b"\x1b$)A": "gb18030",
    b"\x1b$)C": "cp949",
}
"""Escape sequences for the upper half; each codec leaves the lower one ASCII. PS3.3 tables C.12-3 and C.12-4."""
PRIVATE = 0xE000
"""First character of the private area for bytes without a meaning."""
NO_LETTERS = re.compile("[\u3300-\u33ff\u2100-\u218f]")
"""What compatibility would make letters of: squared units of measure (a cubic centimetre becomes cc), letterlike signs
such as the litre, Roman numerals."""
UNSEEN = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
"""Soft hyphens and characters without a width: they part no word."""
DASHES = re.compile("[\u2010-\u2015\u2043\u2212]")
"""Hyphens, dashes and minus signs of typography. Compatibility makes them of some others."""
APOSTROPHES = re.compile("[\u2018\u2019\u02bc\u00b4\u2032`]")
"""Apostrophes of typography, and the accents that are typed for them."""
NO_MEANING = re.compile(
    "[\x1a\x80-\x9f\u2400-\u2426\u25a1\ud800-\udfff\ue100-\uf8ff\ufff9-\uffff\U000f0000-\U0010ffff]|\\?(?=[^\\W_])"
)
"""What stands where another program could not read a character: U+FFFD and its like, private areas, surrogates, and a
question mark directly before a letter, which may be the second half of that character."""
HALF_WIDTH = re.compile("[\uff61-\uff9f][A-Za-z](?=[A-Za-z]{0,5}(?![A-Za-z]))")
"""A half-width letter or sign of Japanese, of one byte, and a letter behind it: the two may be one character."""
SHIFTED = re.compile(rb"(\x0e[^\x0f\x1b]*\x0f?)")
"""Bytes after a shift out: the upper half in seven bits, which the standard forbids. PS3.5 6.1.1."""
SIGN_BEFORE_LETTER = re.compile(rb"[\x80-\xff][A-Za-z](?=[A-Za-z]{0,5}(?![A-Za-z]))")
"""A byte of the upper half, and a letter behind it that may be the rest of its character: alone, or before a view."""
ONE_BYTE_CODECS = re.compile(r"latin_1|iso8859_\d+|tis_620|koi8_r|cp125\d")
"""Codecs of the upper half whose characters have one byte each."""
MOST_CUT = 3
"""Bytes of a character of which the last ones are missing, at most."""


def decoded(value: bytes, declared: str) -> str:
    """Return the text of a value; `declared` is Specific Character Set, its values between backslashes."""
    if b"\x0e" in value:
        pieces = SHIFTED.split(value)
        return "".join(_private(piece) if piece[:1] == b"\x0e" else decoded(piece, declared) for piece in pieces)
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii")
    if b"\x1b" not in value and (text := _without_escape(value, declared)):
        return text
    first, *rest = ESCAPE.split(value)
    lower, upper = ONE_BYTE[0], codec_of(declared.split("\\")[0])
    text = _one_byte(first, upper)
    for escape, piece in zip(rest[::2], rest[1::2], strict=True):
        if escape in UPPER_HALF:
            upper = UPPER_HALF[escape]
        else:
            lower = escape
        text += _one_byte(piece, upper) if lower in ONE_BYTE else _two_bytes(piece, lower)
    return text


def _without_escape(value: bytes, declared: str) -> str:
    """Return the text of a value by the one declared set of two bytes that accounts for it; "" if none or several do.

    The first of the sets declared has to be ASCII: another one needs no escape sequence, and accounts for the bytes.
    """
    first, *further = declared.split("\\")
    if codec_of(first) != "ascii" or _decoded_by("utf_8", value):
        return ""
    codecs = {WITHOUT_ESCAPE.get(term.split(" ")[-1], "") for term in further} - {""}
    texts = {text for codec in codecs if (text := _decoded_by(codec, value))}
    return texts.pop() if len(texts) == 1 else ""


def _decoded_by(codec: str, value: bytes) -> str:
    """Return the text of a value in a codec; "" where it is none."""
    try:
        return value.decode(codec)
    except UnicodeDecodeError:
        return ""


def codec_of(term: str) -> str:
    """Return the codec of a term of Specific Character Set, also of one that is misspelled; ASCII for any other."""
    name = re.sub(r"[^A-Z0-9]", "", term.upper())
    if part := re.fullmatch(r"ISO8859(\d{1,2})", name):
        return f"iso8859_{part[1]}" if 1 <= int(part[1]) <= 16 and part[1] != "12" else "ascii"
    if page := re.fullmatch(r"(?:WINDOWS|CP)(125[0-8])", name):
        return f"cp{page[1]}"
    name = re.sub(r"^(ISO)?(2022)?(IR)?(?=.)", "", name)
    return CODECS.get(name) or ALIASES.get(name, "ascii")


def folded(text: str) -> str:
    """Return a text as words are looked for in it: upper case, full-width letters as usual ones, long words plain.

    Accents are dropped from words of five letters and more: a short one is a code, and its letters count as they are.
    Marks of characters that were lost, and accents that belong to no letter, become bytes without a meaning; an
    underscore, which Python counts among the letters, becomes a blank.
    """
    readable = NO_MEANING.sub(chr(PRIVATE), APOSTROPHES.sub("'", UNSEEN.sub("", text)))
    usual = unicodedata.normalize("NFKC", NO_LETTERS.sub(" ", readable)).upper().replace("_", " ")
    plain = re.sub(r"[^\W\d_]{5,}", lambda word: _without_accents(word[0]), DASHES.sub("-", usual))
    return "".join(chr(PRIVATE) if unicodedata.category(letter)[0] == "M" else letter for letter in plain)


def _without_accents(word: str) -> str:
    apart = unicodedata.normalize("NFKD", word)
    return unicodedata.normalize("NFKC", "".join(mark for mark in apart if not unicodedata.combining(mark)))


def _one_byte(piece: bytes, codec: str) -> str:
    """Return text whose lower half is ASCII; what the codec does not know, or knows as a control, is guessed.

    A last character that is cut, as at the 64th byte of a description, takes none of the others with it.
    """
    try:
        text = piece.decode(codec)
    except UnicodeDecodeError as error:
        whole, cut = piece[: error.start], piece[error.start :]
        return _one_byte(whole, codec) + _private(cut) if _is_cut_character(error) else _guessed(piece)
    if re.search("[\x80-\x9f]", text):
        return _guessed(piece)
    if codec == "cp932":
        return HALF_WIDTH.sub(lambda match: _private(match[0].encode(codec)), text)
    return _without_halves(piece, text) if ONE_BYTE_CODECS.fullmatch(codec) else text


def _without_halves(piece: bytes, text: str) -> str:
    """Return text of one byte a character, private where a sign stands directly before a letter of a short word.

    The two may be one character of a set that is not declared. Letters, digits, spaces and a sign of quotation that is
    closed behind the word are what they are.
    """
    for sign in reversed(list(SIGN_BEFORE_LETTER.finditer(piece))):
        start, end = sign.span()
        is_quoted = text[start] == "\u00ab" and "\u00bb" in text[end:]
        if not is_quoted and unicodedata.category(text[start])[0] not in "LNZ":
            text = text[:start] + _private(sign[0]) + text[end:]
    return text


def _two_bytes(piece: bytes, escape: bytes) -> str:
    """Return text of pairs of bytes between blanks and controls; private characters for what is no such text."""
    return "".join(
        _pairs(run, escape) if run[0] > 0x20 else run.decode("ascii")
        for run in re.findall(rb"[^\x00-\x20]+|[\x00-\x20]+", piece)
    )


def _pairs(run: bytes, escape: bytes) -> str:
    if escape not in TWO_BYTES:
        return _private(run)
    whole = len(run) // 2 * 2
    try:
        return (escape + run[:whole]).decode("iso2022_jp_2") + _private(run[whole:])
    except UnicodeDecodeError:
        return _private(run)


def _guessed(piece: bytes) -> str:
    """Return bytes as UTF-8 if they are; else the upper half as private characters, with the byte after each run.

    That byte may be the second half of a character: a letter, or what looks like the backslash between two values.
    """
    try:
        return piece.decode("utf_8")
    except UnicodeDecodeError as error:
        if _is_cut_character(error) and not piece[: error.start].isascii():
            return piece[: error.start].decode("utf_8") + _private(piece[error.start :])
        runs = re.findall(rb"[\x80-\xff]+[\x40-\x7e]?|[\x00-\x7f]+?(?=[\x80-\xff]|$)", piece, re.DOTALL)
        return "".join(_private(run) if run[0] >= 0x80 else run.decode("ascii") for run in runs)


def _is_cut_character(error: UnicodeDecodeError) -> bool:
    """Whether what does not decode is the first part of a character at the end, with something before it."""
    left = len(error.object) - error.start
    return error.start > 0 and error.end == len(error.object) and left <= MOST_CUT and error.object[error.start] >= 0x80


def _private(run: bytes) -> str:
    return "".join(chr(PRIVATE + byte) for byte in run)
