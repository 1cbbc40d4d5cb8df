"""What reading, choosing and preparing answer: codes of findings or of an error, never with a patient's value."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import pytest
from numpy.typing import NDArray

from glam.config import FrameConfig
from glam.findings import CODES, Finding, InputError
from glam.reading.read import read_view
from tests.samples.mammograms import SECRET


class WithFindings(Protocol):
    """A view, a pair, a prepared input."""

    @property
    def findings(self) -> tuple[Finding, ...]: ...


def finding_codes(answer: WithFindings) -> list[str]:
    """The codes of the findings, in their order."""
    return _codes(answer.findings)


def refusal(call: Callable[[], object]) -> InputError:
    """The error that a call ends in."""
    with pytest.raises(InputError) as caught:
        call()
    assert _codes([caught.value])
    return caught.value


def error_of(source: Any, **request: Any) -> InputError:
    """The error that reading a source ends in."""
    return refusal(lambda: read_view(source, FrameConfig(), **request))


def answered_codes(call: Callable[[], WithFindings]) -> list[str]:
    """The code of the error that a call ends in, or those of the findings of what it returns."""
    try:
        return finding_codes(call())
    except InputError as error:
        return _codes([error])


def read_codes(source: Any) -> list[str]:
    """The code of the error that reading a source ends in, or those of the findings of its view."""
    return answered_codes(lambda: read_view(source, FrameConfig()))


def pixels_of(source: Any) -> NDArray[np.uint16]:
    """The display values of a source that is read, (rows, cols)."""
    return read_view(source, FrameConfig()).pixels


def _codes(answers: Sequence[Finding | InputError]) -> list[str]:
    for answer in answers:
        assert answer.code in CODES
        assert SECRET not in str(answer)
    return [answer.code for answer in answers]
