import pytest
import torch

from glam_train.augment import add_noise, augment, random_affine, random_gamma
from glam_train.presets import ImageAugmentation

STILL = ImageAugmentation(rotate_deg=0, shift=0, scale=0, gamma=0, noise=0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 1, 28, 28, generator=seeded(9))


def test_no_change_asked_for_gives_the_images_back(images):
    torch.testing.assert_close(augment(images, STILL, seeded()), images)


def test_the_same_seed_gives_the_same_images(images):
    config = ImageAugmentation()
    assert torch.equal(augment(images, config, seeded(4)), augment(images, config, seeded(4)))
    assert not torch.equal(augment(images, config, seeded(4)), augment(images, config, seeded(5)))


def test_each_image_is_moved_on_its_own():
    blob = torch.zeros(2, 1, 28, 28)
    blob[:, :, 12:16, 12:16] = 1
    moved = random_affine(blob, ImageAugmentation(rotate_deg=0, shift=0.2, scale=0), seeded())
    assert not torch.equal(moved[0], moved[1])


def test_a_shift_stays_within_its_bound():
    dot = torch.zeros(64, 1, 41, 41)
    dot[:, :, 20, 20] = 1
    moved = random_affine(dot, ImageAugmentation(rotate_deg=0, shift=0.1, scale=0), seeded())
    rows = (moved.sum(3)[:, 0] * torch.arange(41)).sum(1) / moved.sum((1, 2, 3))
    assert (rows - 20).abs().max() <= 0.1 * 41 + 0.5
    assert (rows - 20).abs().max() > 2


def test_gamma_leaves_black_and_white_alone():
    ends = torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 2)
    torch.testing.assert_close(random_gamma(ends, 0.5, seeded()), ends)


def test_noise_leaves_the_background_black(images):
    images[:, :, :, :10] = 0
    noisy = add_noise(images, 0.1, seeded())
    assert noisy[:, :, :, :10].abs().max() == 0
    assert not torch.equal(noisy, images)
    assert noisy.min() >= 0
    assert noisy.max() <= 1
