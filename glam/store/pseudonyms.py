"""Names that a store made from a folder has in place of what headers say: salted hashes."""

import hashlib

ID_DIGITS = 20
"""Hexadecimal digits of a salted hash: two of a billion patients share one in a million such cohorts."""


def pseudonym(salt: bytes, value: str) -> str:
    """Return the name in place of a value."""
    return hashlib.sha256(salt + value.encode(errors="replace")).hexdigest()[:ID_DIGITS]


def patient_name(salt: bytes, patient_id: str) -> str:
    """Return the name of the patient of a header."""
    return pseudonym(salt, f"patient {patient_id}")
