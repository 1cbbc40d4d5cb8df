"""Every baseline learns what there is to learn, on images of 28 px whose texture their reports tell of."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from glam.frame import make_frame
from glam.prepare import ModelInput
from glam.words.report import report_text
from glam_train.config import ImageAugmentation
from glam_train.data.batches import PairBatches, facts_of
from glam_train.data.cache import PairCache, PreparedPair, build_shard, open_cache_folder, read_cache
from glam_train.data.vocabulary import report_vocabulary
from glam_train.methods.mama_settings import MamaSettings
from glam_train.methods.settings import MocoSettings, SimclrSettings
from glam_train.pretraining.loop import update
from glam_train.pretraining.setup import starting_model
from glam_train.pretraining.training_state import TrainingState, state_of
from tests.glam_train.conftest import FRAME
from tests.glam_train.test_baselines import SETTINGS, toy_baseline

pytestmark = pytest.mark.slow
CLASSES = "abcd"
STEPS = 60


@pytest.fixture(scope="module")
def textured(tmp_path_factory) -> PairCache:
    """64 pairs, the first 32 to train on. Density a to d is one of four textures, behind a pattern of each image."""
    folder, rng = tmp_path_factory.mktemp("textures"), np.random.default_rng(4)
    textures = np.tile(0.5 * (rng.random((4, 14, 14), np.float32) > 0.5), (1, 2, 2))
    frame = make_frame(np.eye(3), size=28, rows=28, cols=28)

    def square(label: int) -> ModelInput:
        own = np.kron(0.4 * rng.random((4, 4), np.float32), np.ones((7, 7), np.float32))
        pixels = textures[label] + own
        return ModelInput(pixels=pixels, frame=frame, findings=())

    def pair(key: int) -> PreparedPair:
        facts = {"laterality": "L", "view": "CC", "density": CLASSES[key % 4], "birads": 1, "lesions": []}
        record = {"pair_id": f"textured-{key}", "patient_id": f"patient-{key}", "facts": facts}
        return PreparedPair(cc=square(key % 4), mlo=square(key % 4), record=record)

    open_cache_folder(folder, FRAME, {"kind": "phantoms", "seed": 4}, num_pairs=64)
    build_shard(folder, 0, range(64), pair)
    return read_cache(folder)


def interval(right: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    z, share = 1.96, right / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return middle - half, middle + half


def trained(config, cache) -> TrainingState:
    """The method's state after its updates on the first 32 pairs, in which its losses have fallen."""
    seen = replace(cache, records=cache.records[:32])
    stream = PairBatches(cache=seen, tokenizer=report_vocabulary(cache.records, style="glam"), config=config)
    state = state_of(starting_model(config, None), config, device="cpu")
    terms = [update(state, stream.update(step), config, step) for step in range(config.steps)]
    falling = {"image_text", "to_text", "to_image", "view", "tokens", "local"}
    if config.method.name == "mama":  # contrasts views in the space of the reports, of which there are four
        falling -= {"view"}
    for name in falling & terms[0].keys():
        begun, ended = (sum(float(part[name]) for part in parts) for parts in (terms[:5], terms[-5:]))
        assert ended < begun, name
    state.learner.eval()
    return state


def learning(toy_config, settings):
    config = toy_baseline(toy_config, settings)
    text = replace(config.model.text, pool="mean", dropout=0.0)
    config = replace(config, model=replace(config.model, text=text))
    image = ImageAugmentation(rotate_deg=0.0, shift=0.0, scale=0.0, gamma=0.2, noise=0.05)
    rates = {"steps": STEPS, "warmup_steps": 5, "learning_rate": 3e-3, "precision": "fp32"}
    return replace(config, batch_size=32, accumulate=1, image=image, **rates)


def held_out(cache: PairCache) -> tuple[torch.Tensor, np.ndarray]:
    """The 64 images of the pairs that were not trained on, and their classes."""
    images = np.concatenate([cache.squares(index) for index in range(32, 64)]).astype(np.float32) / 65535
    return torch.from_numpy(images).unsqueeze(1), np.repeat(np.arange(32, 64) % 4, 2)


READ = {name: settings for name, settings in SETTINGS.items() if "text" not in settings.not_trained}
READ |= {"mama": MamaSettings()}


@pytest.mark.parametrize("name", READ)
def test_a_method_that_reads_reports_tells_the_classes_of_images_it_never_saw(name, toy_config, textured):
    config = learning(toy_config, READ[name])
    model = trained(config, textured).learner.model
    images, labels = held_out(textured)
    reports = [report_text(facts_of(record), style="glam") for record in textured.records[:4]]
    tokens = report_vocabulary(textured.records, style="glam").encode(reports, max_tokens=144)
    with torch.no_grad():
        texts = model.embed_text(torch.from_numpy(tokens.ids), torch.from_numpy(tokens.mask))
        found = (model.embed_view(model.vision(images)) @ texts.mT).argmax(dim=1).numpy()
    right = int((found == labels).sum())
    assert interval(right, len(labels))[0] > 1 / 4


@pytest.mark.parametrize("settings", [SimclrSettings(out_dim=12), MocoSettings(queue=64, image_text_weight=0.0)])
def test_a_method_without_reports_finds_an_image_behind_other_noise(settings, toy_config, textured):
    config = learning(toy_config, settings)
    before = state_of(starting_model(config, None), config, device="cpu").learner.eval().model
    after = trained(config, textured).learner.model
    shares = [found_again(model, held_out(textured)[0]) for model in (before, after)]
    assert interval(shares[1], 64)[0] > max(1 / 64, interval(shares[0], 64)[1])


def found_again(model, images: torch.Tensor) -> int:
    generator = torch.Generator().manual_seed(8)
    noisy = [images + 0.1 * torch.randn(images.shape, generator=generator) for _ in range(2)]
    with torch.no_grad():
        first, second = (torch.nn.functional.normalize(model.pool_view(model.vision(n)), dim=1) for n in noisy)
    return int(((first @ second.mT).argmax(dim=1) == torch.arange(len(images))).sum())
