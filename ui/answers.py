"""What a server says of the files of an exam: of DICOM in one question, of pictures in one for each breast."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from glam.client import Client, ServerError
from glam.client_answers import BreastAnswer, FindingAnswer, LeftOutImage, UsedImage
from glam.client_vectors import WordsAnswer
from glam.files import JsonDict
from glam.reading.image_file import picture_format
from glam.view import SPACING_MM, VIEW_KEYS

FORGOTTEN = "The server keeps an exam for ten minutes, and no longer has this one: choose it again, then compare."
INCLUDE = ("embedding", "attention", "frame", "findings", "pooling")


class AskError(ValueError):
    """What was chosen makes no exam; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file as it came. `laterality` ("L", "R") and `view` ("CC", "MLO") are its reader's word: of a picture alone."""

    content: bytes = field(repr=False)
    name: str = field(default="", repr=False)
    laterality: str | None = None
    view: str | None = None

    @property
    def is_picture(self) -> bool:
        """Whether it is a PNG, JPEG or TIFF, which has no header that says what it shows."""
        return bool(picture_format(self.content))


@dataclass(frozen=True, kw_only=True)
class ViewerAnswer:
    """What the model says of an exam."""

    breasts: dict[str, BreastAnswer]
    used: tuple[UsedImage, ...]
    left_out: tuple[LeftOutImage, ...] = ()
    findings: tuple[FindingAnswer, ...] = ()
    calibrated: bool
    bundle: str
    notice: str
    result_ids: tuple[str, ...]
    """Under which the server keeps its vectors: of the exam, or of each breast."""
    raw: JsonDict = field(repr=False)


def ask(client: Client, uploads: Sequence[Upload], *, spacing_mm: float | None = None) -> ViewerAnswer:
    """Return the server's answer; AskError for files that cannot be one exam, ServerError where it has none."""
    empty = [upload.name or f"file {place}" for place, upload in enumerate(uploads, start=1) if not upload.content]
    if empty:
        raise AskError(f"No bytes are in {', '.join(empty)}: choose the files again, without what is empty.")
    are_pictures = [upload.is_picture for upload in uploads]
    if not any(are_pictures):
        return _of_dicom(client, uploads)
    if not all(are_pictures):
        raise AskError("These are DICOM files and pictures together: choose files of one kind.")
    return _of_pictures(client, uploads, spacing_mm)


def compared(client: Client, sentences: Sequence[str], result_ids: Sequence[str]) -> tuple[WordsAnswer, ...]:
    """Return how each breast of an answer fits sentences; no image is sent."""
    try:
        return tuple(answer for kept in result_ids for answer in client.zero_shot(sentences, result_id=kept))
    except ServerError as error:
        if error.code == "no_such_result":
            raise ServerError(error.status, error.code, FORGOTTEN) from None
        raise


def _of_dicom(client: Client, uploads: Sequence[Upload]) -> ViewerAnswer:
    answer = client.predict_exam([upload.content for upload in uploads], include=INCLUDE)
    return ViewerAnswer(
        breasts=answer.breasts,
        used=answer.used,
        left_out=answer.left_out,
        findings=answer.findings,
        calibrated=answer.calibrated,
        bundle=answer.bundle,
        notice=answer.raw["notice"],
        result_ids=() if answer.result_id is None else (answer.result_id,),
        raw=answer.raw,
    )


def _of_pictures(client: Client, uploads: Sequence[Upload], spacing_mm: float | None) -> ViewerAnswer:
    least, most = SPACING_MM
    if spacing_mm is not None and not least <= spacing_mm <= most:
        raise AskError(f"Pixels of mammograms are {least:g} to {most:g} mm apart: leave the spacing empty if unknown.")
    placed = _placed(uploads)
    breasts: dict[str, BreastAnswer] = {}
    for side in sorted({used.laterality for used in placed}):
        files = {used.view.lower(): uploads[used.image - 1].content for used in placed if used.laterality == side}
        breasts[side] = client.predict(
            cc=files.get("cc"), mlo=files.get("mlo"), laterality=side, spacing_mm=spacing_mm, include=INCLUDE
        )
    first = next(iter(breasts.values()))
    return ViewerAnswer(
        breasts=breasts,
        used=placed,
        calibrated=first.calibrated,
        bundle=first.bundle,
        notice=first.raw["notice"],
        result_ids=tuple(one.result_id for one in breasts.values() if one.result_id is not None),
        raw={"notice": first.raw["notice"], "breasts": {side: breast.raw for side, breast in breasts.items()}},
    )


def _placed(uploads: Sequence[Upload]) -> tuple[UsedImage, ...]:
    """Return what each picture shows; AskError where it is not said, or said twice."""
    known = {key.upper() for key in VIEW_KEYS}
    placed = list[UsedImage]()
    for image, upload in enumerate(uploads, start=1):
        if upload.laterality not in ("L", "R") or upload.view not in known:
            raise AskError(f"Say what picture {image} shows: it has no header that does.")
        placed.append(UsedImage(image=image, laterality=upload.laterality, view=upload.view))
    if len({(used.laterality, used.view) for used in placed}) < len(placed):
        raise AskError("Two pictures are said to show the same view: choose one of them.")
    return tuple(placed)
