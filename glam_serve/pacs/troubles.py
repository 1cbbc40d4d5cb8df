"""What a PACS did not give, and answers that may be better the next time."""

from collections.abc import Mapping

from glam.reading.source import MAX_BYTES
from glam_serve.cohort.faults import NotGivenError

BAD_UID = "pacs_bad_uid"
REFUSALS: Mapping[str, str] = {
    "pacs_missing": "the PACS has it no more",
    "pacs_forbidden": "the PACS does not give it to this user: ask its administrator",
    "pacs_refused": "the PACS refuses this request: look into its log",
    "pacs_failed": "the PACS failed to give it, each time: look into its log",
    "pacs_cut": "the answer of the PACS ended early, each time: look into its log, and into that of a proxy before it",
    "pacs_malformed": "the answer of the PACS is none that DICOMweb knows: look into the log of a proxy before it",
    "pacs_slow": "it did not come within --pacs-timeout-s: allow more time",
    BAD_UID: "the PACS lists it without a UID, or under one that is none: it cannot be asked for",
    "pacs_other_image": "the PACS answers with another image than was asked for",
    "pacs_paging": "the PACS repeats its first matches and keeps others back: ask for fewer at a time by --query",
    "too_large": f"the answer of the PACS is larger than {MAX_BYTES // 1_000_000} MB",
}
"""Codes of what a PACS did not give, with their sentences."""


class PacsRefusal(NotGivenError):
    """What a PACS does not give, though it answers other questions; `code` is one of REFUSALS."""

    def __init__(self, code: str) -> None:
        super().__init__(code, REFUSALS[code])


class Trouble(Exception):
    """An answer that may be better the next time."""

    def __init__(self, reason: str, code: str | None = None, *, wait_s: float | None = None) -> None:
        """`code`: what it is if the service answers all else; None: it cannot be the fault of what was asked for.

        `wait_s`: what the service asks to wait.
        """
        super().__init__(reason)
        self.code = code
        self.wait_s = wait_s


def spoiled(code: str) -> Trouble:
    """Return what a reader of an answer raises for one that may be better the next time."""
    reason = "gives no whole answer" if code == "pacs_cut" else "answers no question as DICOMweb would"
    return Trouble(reason, code)
