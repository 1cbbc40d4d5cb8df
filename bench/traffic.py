"""What crosses between the processes of an update, by preset: bytes of features a pair, and of gradients.

python -m bench.traffic [--presets glam clip ...]

Nothing is sent and nothing is timed. Features are counted by one pass of two phantoms through towers of the preset's
widths and one layer, which has their shapes whatever the depth; weights are counted without being made. A feature that
has a row a token is as long as the longest report of its pass, here of a phantom.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from bench.report import print_summary
from glam.model.glam import Glam
from glam_train.config import PretrainConfig
from glam_train.data.batches import Batch, PairBatches
from glam_train.data.cache import PairCache, read_cache
from glam_train.data.phantom_pairs import TRAINING_SEED, cache_phantoms
from glam_train.data.vocabulary import report_vocabulary
from glam_train.methods import build_method
from glam_train.methods.known_places import place_kinds
from glam_train.methods.method import precise
from glam_train.parameters import count_parameters
from glam_train.presets import PRESETS, preset

NUM_PAIRS = 2


class Feature(NamedTuple):
    """One of the features that the processes exchange."""

    bytes_a_pair: int
    dims: int
    """Dimensions of its shape."""


def bytes_a_pair(config: PretrainConfig, cache: PairCache, *, double: bool = False) -> dict[str, Feature]:
    """Return what crosses of each pair when an update is gathered, by feature. `double`: of a model in float64.

    It is that of the whole cache, or of an update where that is smaller. Truth values cross as bytes.
    """
    pairs = min(len(cache), config.pairs_per_update)
    words = report_vocabulary(cache.records, style=config.text.style)
    config = shallow(config, vocab_size=words.vocab_size)
    config = replace(config, batch_size=pairs, accumulate=1)
    stream = PairBatches(cache=cache, tokenizer=words, config=config, place_kinds=place_kinds(config))
    (batch,) = stream.update(0)
    torch.manual_seed(0)
    model = Glam(config.model)
    method = build_method(config, model)
    if double:
        model, method = model.double(), method.double()
        batch = Batch(*(tensor.double() if tensor.is_floating_point() else tensor for tensor in batch))
    with torch.no_grad():
        features = precise(method.features(model, batch))
    return {name: Feature(value.nbytes // pairs, value.ndim) for name, value in features._asdict().items()}


def shallow(config: PretrainConfig, *, vocab_size: int) -> PretrainConfig:
    """Return the settings with towers of one layer, and of so many words."""
    vision, text = replace(config.model.vision, depth=1), replace(config.model.text, depth=1, vocab_size=vocab_size)
    return replace(config, model=replace(config.model, vision=vision, text=text))


def gradient_bytes(config: PretrainConfig) -> int:
    """Return the bytes of the gradients that are summed over processes: in bf16 where the weights are, else in fp32."""
    weight_bytes = 2 if config.precision == "bf16-true" else 4
    return weight_bytes * count_parameters(config)["total"].trainable


def figures_of(name: str, folder: Path) -> dict[str, Any]:
    """Return the bytes of a preset."""
    config = preset(name)
    caches = folder / f"{hash(config.model.frame):x}"
    for _ in cache_phantoms(caches, num_pairs=NUM_PAIRS, seed=TRAINING_SEED, frame=config.model.frame):
        pass
    pair = bytes_a_pair(config, read_cache(caches))
    total = sum(feature.bytes_a_pair for feature in pair.values()) if config.negatives == "update" else 0
    return {
        "pairs_an_update": config.pairs_per_update,
        "bytes_a_pair": total,
        "largest": max(pair, key=lambda name: pair[name].bytes_a_pair),
        "features_mb": round(config.pairs_per_update * total / 1e6, 2),
        "gradients_mb": round(gradient_bytes(config) / 1e6, 1),
    }


def traffic(names: list[str]) -> Mapping[str, Any]:
    """Return the bytes of several presets; those that exchange nothing are left out."""
    with tempfile.TemporaryDirectory() as folder:
        figures = dict[str, Any]()
        for name in names:
            if preset(name).method.trains:
                figures[name] = figures_of(name, Path(folder))
                sys.stderr.write(f"{name}: {figures[name]}\n")
    return figures


def main() -> None:
    """Count, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", choices=[*PRESETS], default=[*PRESETS])
    parser.add_argument("--quick", action="store_true", help="tiny alone")
    options = parser.parse_args()
    print_summary("traffic", traffic(["tiny"] if options.quick else options.presets), {})


if __name__ == "__main__":
    main()
