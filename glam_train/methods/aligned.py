"""What GLAM's methods share: the features of a pair of CC and MLO with its report, and the known places."""

from typing import NamedTuple

import torch
from torch import Tensor

from glam.model.alignment import unit_vectors
from glam.model.glam import Glam, Scales
from glam.model.text import TextFeatures
from glam.model.vision import ViewFeatures
from glam_train.config import PretrainConfig
from glam_train.data.batches import Batch
from glam_train.methods.known_places import PlaceMaps, with_known_places
from glam_train.methods.method import Method, Terms
from glam_train.methods.place_maps import composed_maps, place_rows, seen_in_both


class PairFeatures(NamedTuple):
    """What GLAM's losses use of a pair; every vector has unit length but those of a view head."""

    image_cc: Tensor  # (batch, joint)
    image_mlo: Tensor  # (batch, joint)
    text: Tensor  # (batch, joint)
    view_cc: Tensor  # (batch, joint): what CC and MLO are contrasted by
    view_mlo: Tensor  # (batch, joint)
    regions_cc: Tensor  # (batch, region, dim)
    regions_mlo: Tensor  # (batch, region, dim)
    aligned_cc: Tensor  # (batch, region, dim): for each CC region, what the MLO slice holds of it
    aligned_mlo: Tensor  # (batch, region, dim)
    maps_cc: Tensor  # (batch, place, row): for each known place of CC, what its map gives each row of MLO
    maps_mlo: Tensor  # (batch, place, row)
    rows_cc: Tensor  # (batch, place): the row in which CC shows the place
    rows_mlo: Tensor  # (batch, place)
    seen_kinds: Tensor  # (batch, place): kind of a place that both views show; 0 for others
    # What follows is without width where nothing asks for it.
    pooled_cc: Tensor  # (batch, dim): the tower's own feature of a view
    pooled_mlo: Tensor  # (batch, dim)
    keys: Tensor  # (batch, joint): MLO by the slow copy of the tower
    patches_cc: Tensor  # (batch, patch, joint)
    patches_mlo: Tensor  # (batch, patch, joint)
    sentences: Tensor  # (batch, sentence, joint)
    is_sentence: Tensor  # (batch, sentence) bool: False for padding

    @property
    def local(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The regions of both views, and what they were given."""
        return self.regions_cc, self.regions_mlo, self.aligned_cc, self.aligned_mlo


class Towers(NamedTuple):
    """What the towers make of a pair."""

    cc: ViewFeatures
    mlo: ViewFeatures
    text: TextFeatures


class AlignedMethod(Method):
    """A method on pairs of CC and MLO that uses the alignment module, and learns from known places."""

    def __init__(self, config: PretrainConfig, model: Glam) -> None:
        super().__init__(config, model)
        if config.model.alignment is None:
            raise ValueError(f"{config.method.name} needs the alignment module: leave model.alignment in")
        if config.views.strategy != "breast":
            raise ValueError(f"{config.method.name} compares CC with MLO: views.strategy is {config.views.strategy}")
        self.alignment = config.model.alignment

    def features(self, model: Glam, batch: Batch) -> PairFeatures:
        """Embed and align both views."""
        features_cc, features_mlo = model.view_features(batch.view, batch.other_view)
        states = model.text(batch.token_ids, batch.mask)
        image_cc, image_mlo = model.embed_view(features_cc), model.embed_view(features_mlo)
        alignment = model.align(features_cc.patches, features_mlo.patches)
        view_mlo = self.contrasted(features_mlo.cls, image_mlo)  # MLO first: the order of the running statistics
        view_cc = self.contrasted(features_cc.cls, image_cc)
        maps_cc, maps_mlo = composed_maps(alignment, batch.points)
        rows_cc, rows_mlo = place_rows(batch.points, self.alignment.side)
        seen = seen_in_both(batch.points, self.alignment)
        nothing = image_cc.new_zeros(len(image_cc), 0)
        features = PairFeatures(
            image_cc=image_cc,
            image_mlo=image_mlo,
            text=unit_vectors(model.text_projection(model.pool_text(states))),
            view_cc=view_cc,
            view_mlo=view_mlo,
            regions_cc=alignment.regions_cc,
            regions_mlo=alignment.regions_mlo,
            aligned_cc=alignment.aligned_cc,
            aligned_mlo=alignment.aligned_mlo,
            maps_cc=maps_cc,
            maps_mlo=maps_mlo,
            rows_cc=rows_cc,
            rows_mlo=rows_mlo,
            seen_kinds=torch.where(seen, batch.place_kinds, 0),
            pooled_cc=nothing,
            pooled_mlo=nothing,
            keys=nothing,
            patches_cc=nothing,
            patches_mlo=nothing,
            sentences=nothing,
            is_sentence=nothing.bool(),
        )
        return features._replace(**self.beside(model, batch, Towers(features_cc, features_mlo, states)))

    def beside(self, model: Glam, batch: Batch, towers: Towers) -> dict[str, Tensor]:
        """Return the fields of `PairFeatures` that only some settings ask for."""
        del model, batch, towers
        return {}

    def contrasted(self, cls: Tensor, image: Tensor) -> Tensor:
        """Return what a view is contrasted with the other one by: its place in the joint space."""
        del cls
        return image

    def terms(self, features: PairFeatures, scales: Scales, step: int) -> Terms:
        """Add the known places to the method's own terms."""
        terms = self.objective(features, scales, self.local_weight(step))
        maps, rows = (features.maps_cc, features.maps_mlo), (features.rows_cc, features.rows_mlo)
        return with_known_places(terms, PlaceMaps(*maps, *rows, features.seen_kinds), self.config)

    def objective(self, features: PairFeatures, scales: Scales, local_weight: float) -> Terms:
        """Return the method's own terms."""
        raise NotImplementedError
