import pytest
import torch

from glam_train.config import ImageAugmentation
from glam_train.data.augment import (
    add_noise,
    augment,
    move_points,
    random_affine,
    random_blur,
    random_gamma,
    random_reverse,
    turn_over,
)

STILL = ImageAugmentation(rotate_deg=0, shift=0, scale=0, gamma=0, noise=0)


def seeded(count: int, seed: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(1000 * seed + index) for index in range(count)]


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 1, 28, 28, generator=seeded(1, 9)[0])


def test_no_change_asked_for_gives_the_images_back(images):
    torch.testing.assert_close(augment(images, STILL, seeded(3)).images, images)


def test_the_same_seed_gives_the_same_images(images):
    config = ImageAugmentation()
    first, again, other = (augment(images, config, seeded(3, seed)) for seed in (4, 4, 5))
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.matrix, again.matrix)
    assert not torch.equal(first.images, other.images)


def test_each_image_is_moved_on_its_own():
    blob = torch.zeros(2, 1, 28, 28)
    blob[:, :, 12:16, 12:16] = 1
    moved = random_affine(blob, ImageAugmentation(rotate_deg=0, shift=0.2, scale=0), seeded(2)).images
    assert not torch.equal(moved[0], moved[1])


def test_a_shift_stays_within_its_bound():
    dot = torch.zeros(64, 1, 41, 41)
    dot[:, :, 20, 20] = 1
    moved = random_affine(dot, ImageAugmentation(rotate_deg=0, shift=0.1, scale=0), seeded(64)).images
    rows = (moved.sum(3)[:, 0] * torch.arange(41)).sum(1) / moved.sum((1, 2, 3))
    assert (rows - 20).abs().max() <= 0.1 * 41 + 0.5
    assert (rows - 20).abs().max() > 2


def test_gamma_leaves_black_and_white_alone():
    ends = torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 2)
    torch.testing.assert_close(random_gamma(ends, 0.5, seeded(1)), ends)


def test_noise_leaves_the_background_black(images):
    images[:, :, :, :10] = 0
    noisy = add_noise(images, 0.1, seeded(3))
    assert noisy[:, :, :, :10].abs().max() == 0
    assert not torch.equal(noisy, images)
    assert noisy.min() >= 0
    assert noisy.max() <= 1


def dots(count: int, size: tuple[int, int], points: torch.Tensor) -> torch.Tensor:
    """Images of (rows, cols) with one soft bright dot each, at (x, y) of 0..1 across them."""
    rows, cols = ((torch.arange(length) + 0.5) / length for length in size)
    across, down = cols - points[:, :1], rows - points[:, 1:]
    return torch.exp(-(down[:, :, None].square() + across[:, None].square()) / (2 * 0.02**2))[:count, None]


def centre_of(images: torch.Tensor) -> torch.Tensor:
    """Where the brightness of each image lies: (batch, 2), x and y of 0..1."""
    rows, cols = ((torch.arange(length) + 0.5) / length for length in images.shape[2:])
    total = images.sum((1, 2, 3))
    return torch.stack([(images.sum(2)[:, 0] * cols).sum(1), (images.sum(3)[:, 0] * rows).sum(1)], 1) / total[:, None]


@pytest.mark.parametrize("size", [(96, 96), (160, 96)])
@pytest.mark.parametrize("turned", [False, True])
def test_a_bright_dot_and_its_point_move_together(turned, size):
    points = 0.3 + 0.4 * torch.rand(32, 2, generator=seeded(1, 1)[0])
    config = ImageAugmentation(rotate_deg=20, shift=0.1, scale=0.2, gamma=0, noise=0)
    moved = augment(dots(32, size, points), config, seeded(32, 2), turned=torch.full((32,), turned))
    expected = move_points(points[:, None], moved.matrix)[:, 0]
    torch.testing.assert_close(centre_of(moved.images), expected, rtol=0, atol=0.002)  # a fifth of a pixel
    assert (expected - points).abs().max() > 0.1


@pytest.mark.parametrize("size", [(96, 96), (160, 96), (64, 160)])
def test_a_rotation_keeps_the_shapes_of_any_input(size):
    """Distances in pixels between three points are those before, times one factor."""
    config = ImageAugmentation(rotate_deg=30, shift=0.1, scale=0.2, gamma=0, noise=0)
    matrix = random_affine(torch.zeros(16, 1, *size), config, seeded(16, 5)).matrix
    points = torch.tensor([[0.3, 0.4], [0.6, 0.4], [0.5, 0.7]])
    pixels = torch.tensor([size[1], size[0]])
    before = torch.pdist(points * pixels)
    for found in move_points(points.expand(16, 3, 2), matrix):
        factors = torch.pdist(found * pixels) / before
        torch.testing.assert_close(factors, factors[:1].expand(3), rtol=1e-4, atol=0)
        assert (found - points).abs().max() > 0.01


def test_only_the_named_images_are_turned_over():
    images = torch.arange(12.0).reshape(2, 1, 3, 2)
    found = turn_over(images, torch.tensor([True, False]))
    assert found[0, 0].tolist() == [[4, 5], [2, 3], [0, 1]]
    assert torch.equal(found[1], images[1])


def test_a_point_that_is_turned_over_lies_as_far_from_the_other_edge():
    moved = augment(torch.zeros(2, 1, 28, 28), STILL, seeded(2), turned=torch.tensor([True, False]))
    found = move_points(torch.tensor([0.25, 0.1]).expand(2, 1, 2), moved.matrix)
    torch.testing.assert_close(found[:, 0], torch.tensor([[0.25, 0.9], [0.25, 0.1]]))


def test_a_point_that_leaves_the_square_is_beyond_0_to_1():
    shifted = torch.tensor([[[1.0, 0.0, 0.4], [0.0, 1.0, 0.0]]])  # the new image shows what lay 0.2 further right
    found = move_points(torch.tensor([[[0.1, 0.5], [0.5, 0.5]]]), shifted)
    torch.testing.assert_close(found, torch.tensor([[[-0.1, 0.5], [0.3, 0.5]]]))


def test_what_happens_to_an_image_does_not_depend_on_the_batch_it_is_in(images):
    whole = augment(images, ImageAugmentation(), seeded(3, 4))
    for index in range(3):
        alone = augment(images[[index]], ImageAugmentation(), [seeded(3, 4)[index]])
        torch.testing.assert_close(alone.images[0], whole.images[index], rtol=0, atol=1e-6)


def test_an_image_is_reversed_along_each_axis_on_its_own_as_often_as_asked():
    image = torch.tensor([[0.0, 1.0], [2.0, 3.0]]).expand(400, 1, 2, 2)
    found = random_reverse(image, 0.5, seeded(400))
    kinds = [tuple(each.flatten().tolist()) for each in found]
    expected = {(0, 1, 2, 3), (1, 0, 3, 2), (2, 3, 0, 1), (3, 2, 1, 0)}
    assert set(kinds) == expected
    assert min(kinds.count(kind) for kind in expected) > 60
    assert random_reverse(image, 0.0, seeded(400)) is image


def test_a_blur_is_the_gaussian_of_its_width_keeps_the_grey_and_leaves_others_alone(images):
    flat = torch.full((3, 1, 28, 28), 0.4)
    torch.testing.assert_close(random_blur(flat, 1.0, seeded(3)), flat)
    blurred = random_blur(images, 1.0, seeded(3))
    width = (torch.rand(2, generator=seeded(3)[0])[1] * 1.9 + 0.1).item()
    steps = torch.arange(-6, 7)
    kernel = torch.exp(-steps.square() / (2 * width**2))
    row, col = 14, 9
    patch = images[0, 0, row - 6 : row + 7, col - 6 : col + 7]
    weights = torch.outer(kernel, kernel)
    assert blurred[0, 0, row, col].item() == pytest.approx(((patch * weights).sum() / weights.sum()).item(), rel=1e-4)
    some = random_blur(images.expand(3, 1, 28, 28), 1e-9, seeded(3))
    torch.testing.assert_close(some, images)
