"""Frame: the 3x3 matrix between stored DICOM pixels and the model's square; cells and polygons.

Points are (x, y) = (column, row); the centre of pixel i is at i + 0.5, so that an image of n columns spans 0..n.
"""

from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from glam.input_size import InputSize, plain_size, rows_and_cols

Matrix = NDArray[np.float64]
Points = NDArray[np.float64]


def shift(x: float, y: float) -> Matrix:
    """Move every point by (x, y)."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)


def scale(x: float, y: float) -> Matrix:
    """Stretch both axes about the origin."""
    return np.diag([x, y, 1.0])


def crop(x: float, y: float) -> Matrix:
    """Make (x, y) the origin."""
    return shift(-x, -y)


def flip_columns(width: float) -> Matrix:
    """Mirror left and right within an image of that width."""
    return np.array([[-1, 0, width], [0, 1, 0], [0, 0, 1]], np.float64)


def flip_rows(height: float) -> Matrix:
    """Mirror top and bottom within an image of that height."""
    return np.array([[1, 0, 0], [0, -1, height], [0, 0, 1]], np.float64)


def rotate(angle_deg: float) -> Matrix:
    """Turn the axes about the origin: the direction (cos, sin) of the angle becomes the x axis."""
    cos, sin = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    return np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]], np.float64)


def compose(*steps: Matrix) -> Matrix:
    """Return one matrix that does the steps in the order given."""
    return reduce(lambda done, step: step @ done, steps, np.eye(3))


def transform(matrix: Matrix, points: ArrayLike) -> Points:
    """Map (n, 2) points by an affine 3x3 matrix."""
    array = np.asarray(points, np.float64)
    return array @ matrix[:2, :2].T + matrix[:2, 2]


def index_matrix(matrix: Matrix) -> Matrix:
    """Return the same map between pixel indices, centre of pixel i at i: what cv2.warpAffine takes."""
    return compose(shift(0.5, 0.5), matrix, shift(-0.5, -0.5))


class Box(NamedTuple):
    """A rectangle."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """Its extent along x."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Its extent along y."""
        return self.bottom - self.top


@dataclass(frozen=True)
class Frame:
    """Where the model's square, which may be a rectangle, lies in a stored image."""

    matrix: tuple[float, ...]
    """Nine numbers, row-major 3x3: stored pixel (x, y) -> square (x, y) in 0..width and 0..height."""
    size: InputSize
    """Of the square: one number, or rows and columns."""
    rows: int
    """Of the stored image, as `cols`."""
    cols: int

    @property
    def height(self) -> int:
        """Rows of the square."""
        return rows_and_cols(self.size)[0]

    @property
    def width(self) -> int:
        """Columns of the square."""
        return rows_and_cols(self.size)[1]

    @property
    def corners(self) -> Points:
        """The (4, 2) corners of the square: top left, top right, bottom right, bottom left."""
        return np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64) * (self.width, self.height)

    @property
    def to_square_matrix(self) -> Matrix:
        """The (3, 3) matrix from stored pixels to the square."""
        return np.array(self.matrix, np.float64).reshape(3, 3)

    def to_square(self, points: ArrayLike) -> Points:
        """Map (n, 2) points of the stored image into the square."""
        return transform(self.to_square_matrix, points)

    def to_pixels(self, points: ArrayLike) -> Points:
        """Map (n, 2) points of the square into the stored image."""
        return transform(np.linalg.inv(self.to_square_matrix).astype(np.float64), points)

    def as_json(self) -> dict[str, Any]:
        """Return JSON types that `frame_from_json` reads."""
        size = self.size if isinstance(self.size, int) else list(self.size)
        return {"to_square": self.to_square_matrix.tolist(), "size": size, "rows": self.rows, "cols": self.cols}


def make_frame(matrix: Matrix, *, size: InputSize, rows: int, cols: int) -> Frame:
    """Return the Frame of a (3, 3) matrix; a matrix that cannot be inverted is a ValueError."""
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-12:
        raise ValueError("the matrix of a Frame must have an inverse: is the breast box empty?")
    return Frame(tuple(float(number) for number in matrix.ravel()), plain_size(size), rows, cols)


def frame_from_json(data: dict[str, Any]) -> Frame:
    """Return the Frame that `Frame.as_json` wrote."""
    matrix = np.asarray(data["to_square"], np.float64)
    return make_frame(matrix, size=plain_size(data["size"]), rows=int(data["rows"]), cols=int(data["cols"]))


def cell_polygon(frame: Frame, side: int, row: int, col: int) -> Points:
    """Return the (4, 2) corners, in stored pixels, of a cell of a side x side grid over the square.

    In the order top left, top right, bottom right, bottom left of the square. What lies outside the stored image is
    drawn to its edge.
    """
    step = np.array([frame.width, frame.height]) / side
    corners = np.array([[col, row], [col + 1, row], [col + 1, row + 1], [col, row + 1]], np.float64) * step
    return np.clip(frame.to_pixels(corners), (0, 0), (frame.cols, frame.rows))


def cells_of(points: ArrayLike, frame: Frame, side: int) -> NDArray[np.int64]:
    """Row and col of the side x side cell under each stored pixel (x, y): (point, 2); the edge cell beyond it."""
    square = frame.to_square(points) * side / (frame.width, frame.height)
    return np.clip(np.floor(square[:, ::-1]).astype(int), 0, side - 1)


def inside_square(points: ArrayLike, frame: Frame) -> NDArray[np.bool_]:
    """Which stored pixels (x, y) the model sees: (point,) bool."""
    square = frame.to_square(points)
    return np.asarray(((square >= 0) & (square < (frame.width, frame.height))).all(axis=1))
