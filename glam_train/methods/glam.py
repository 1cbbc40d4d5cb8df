"""GLAM: Du, Chen, Dvornek, "Geometry-Guided Local Alignment for Multi-View VLP in Mammography", MICCAI 2025.

Three methods: ours, the printed equations, and the released code (XYPB/GLAM b863b78).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from glam.model.glam import Glam, Scales
from glam_train.config import PretrainConfig
from glam_train.data.batches import Batch
from glam_train.methods.heads import ViewProjection
from glam_train.methods.known_places import PlaceMaps, with_known_places
from glam_train.methods.late_interaction import late_interaction_loss
from glam_train.methods.losses import (
    Denominator,
    cc_text_loss,
    global_loss,
    image_text_loss,
    local_loss,
    nt_xent,
    official_image_text_loss,
    official_local_loss,
    view_loss,
    with_positive,
    within_image_only,
    without_positive,
)
from glam_train.methods.method import Method, Terms
from glam_train.methods.place_maps import composed_maps, place_rows, seen_in_both
from glam_train.methods.settings import GlamOfficialSettings, GlamPaperSettings, GlamSettings


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

    @property
    def local(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The regions of both views, and what they were given."""
        return self.regions_cc, self.regions_mlo, self.aligned_cc, self.aligned_mlo


class AlignedMethod(Method):
    """A method on pairs of CC and MLO that uses the alignment module, and learns from known places."""

    def __init__(self, config: PretrainConfig, model: Glam) -> None:
        super().__init__(config, model)
        if config.model.alignment is None:
            raise ValueError(f"{config.method.name} needs the alignment module: model.alignment is None")
        if config.views.strategy != "breast":
            raise ValueError(f"{config.method.name} compares CC with MLO: views.strategy is {config.views.strategy}")
        self.alignment = config.model.alignment

    def features(self, model: Glam, batch: Batch) -> PairFeatures:
        """Embed and align both views."""
        features_cc, features_mlo = model.view_features(batch.view, batch.other_view)
        image_cc, image_mlo = model.embed_view(features_cc), model.embed_view(features_mlo)
        alignment = model.align(features_cc.patches, features_mlo.patches)
        view_mlo = self.contrasted(features_mlo.cls, image_mlo)  # MLO first: the order of the running statistics
        view_cc = self.contrasted(features_cc.cls, image_cc)
        maps_cc, maps_mlo = composed_maps(alignment, batch.points)
        rows_cc, rows_mlo = place_rows(batch.points, self.alignment.side)
        seen = seen_in_both(batch.points, self.alignment)
        return PairFeatures(
            image_cc=image_cc,
            image_mlo=image_mlo,
            text=model.embed_text(batch.token_ids, batch.mask),
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
        )

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


class GlamMethod(AlignedMethod):
    """Eq. 2 and Eq. 4 with the positive in the denominator, each kind of term with a temperature of its own."""

    def __init__(self, config: PretrainConfig, model: Glam) -> None:
        super().__init__(config, model)
        assert isinstance(config.method, GlamSettings)
        self.settings = config.method

    def prepare(self, model: Glam) -> None:
        """Leave the attention's projections as they are where late interaction does not reach them."""
        if self.settings.local != "late_interaction":
            return
        assert model.alignment is not None
        for match in (model.alignment.cc_to_mlo, model.alignment.mlo_to_cc):
            match.requires_grad_(False)

    def objective(self, features: PairFeatures, scales: Scales, local_weight: float) -> Terms:
        """The view term, the image-text term, and the local one as chosen."""
        settings = self.settings
        image_text = image_text_loss if settings.symmetric else cc_text_loss
        view = view_loss(features.view_cc, features.view_mlo, scales.view)
        text = image_text(features.image_cc, features.image_mlo, features.text, scales.image_text)
        local = self._local(features, scales.local)
        total = settings.view_weight * view + text + local_weight * local
        return {"view": view, "image_text": text, "local": local, "total": total}

    def _local(self, features: PairFeatures, scale: Tensor) -> Tensor:
        if self.settings.local == "late_interaction":
            best = self.settings.best_regions
            return late_interaction_loss(features.regions_cc, features.regions_mlo, scale, best_regions=best)
        return local_loss(*features.local, scale, _negatives(self.settings.same_position, with_positive))


class GlamPaperMethod(AlignedMethod):
    """The printed equations: one temperature for every term, the positive left out of Eq. 4's denominator."""

    def objective(self, features: PairFeatures, scales: Scales, local_weight: float) -> Terms:
        """Eq. 2 and Eq. 4."""
        assert isinstance(self.config.method, GlamPaperSettings)
        tau = scales.image_text
        whole = global_loss(features.image_cc, features.image_mlo, features.text, view_scale=tau, text_scale=tau)
        denominator = _negatives(self.config.method.same_position, without_positive)
        local = local_loss(*features.local, tau, denominator)
        return {"global": whole, "local": local, "total": whole + local_weight * local}


class GlamOfficialMethod(AlignedMethod):
    """The released code: CC against text, NT-Xent between the views at temperature 0.5, two local terms."""

    def __init__(self, config: PretrainConfig, model: Glam) -> None:
        super().__init__(config, model)
        self.view_head = ViewProjection(model.vision.dim, model.config.joint_dim)

    def contrasted(self, cls: Tensor, image: Tensor) -> Tensor:
        """Project CLS by the head."""
        del image
        return self.view_head(cls)

    def objective(self, features: PairFeatures, scales: Scales, local_weight: float) -> Terms:
        """The three losses of the released script."""
        assert isinstance(self.config.method, GlamOfficialSettings)
        view = nt_xent(features.view_cc, features.view_mlo)
        text = official_image_text_loss(features.image_cc, features.text, scales.image_text)
        same_position = self.config.method.same_position
        local = official_local_loss(*features.local, scales.local, same_position=same_position)
        return {"view": view, "image_text": text, "local": local, "total": view + text + local_weight * local}


def _negatives(same_position: bool, denominator: Denominator) -> Denominator:
    return denominator if same_position else within_image_only(denominator)
