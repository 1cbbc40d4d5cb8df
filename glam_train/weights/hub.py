"""Weights from the Hugging Face hub: the one place that asks a network, and only when a name is given."""

from pathlib import Path

from glam_train.weights.source import WeightsError

PATTERNS = ("*.json", "*.txt", "*.safetensors", "*.model", "README.md", "LICENSE*", "LICENCE*")
PICKLE = "pytorch_model*.bin"


def fetch(name: str) -> Path:
    """Return the folder of a model of the hub, fetched into the hub's own cache; WeightsError when it cannot be had."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, allow_patterns=list(PATTERNS)))
        if not any(folder.glob("*.safetensors")):  # of many a BERT there is a pickle only, read as plain tensors
            folder = Path(snapshot_download(name, allow_patterns=[*PATTERNS, PICKLE]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(f"{name} cannot be had from the hub ({reason}): give the path of a copy of it") from error
    return folder
