"""GLAM: Du, Chen, Dvornek, "Geometry-Guided Local Alignment for Multi-View VLP in Mammography", MICCAI 2025.

Three methods: ours, the printed equations, and the released code (XYPB/GLAM b863b78).
"""

from torch import Tensor

from glam.model.glam import Glam, Scales
from glam_train.config import PretrainConfig
from glam_train.data.batches import Batch
from glam_train.methods.aligned import AlignedMethod, PairFeatures, Towers
from glam_train.methods.glam_settings import GlamOfficialSettings, GlamPaperSettings, GlamSettings
from glam_train.methods.heads import ViewProjection, simclr_loss
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
from glam_train.methods.method import Terms
from glam_train.methods.momentum_queue import MomentumQueue, check_queued
from glam_train.methods.sentence_part import SentencePart


class GlamMethod(AlignedMethod):
    """Eq. 2 and Eq. 4 with the positive in the denominator, each kind of term with a temperature of its own.

    Beside them, or in their place by weights of 0: SimCLR, a queue of keys, sentences against patches.
    """

    def __init__(self, config: PretrainConfig, model: Glam) -> None:
        super().__init__(config, model)
        assert isinstance(config.method, GlamSettings)
        self.settings = settings = config.method
        self.view_head = ViewProjection(model.vision.dim, model.config.joint_dim) if settings.simclr_weight else None
        self.sentences = SentencePart(model) if settings.sentence_weight else None
        self.slow = None
        if settings.moco_weight:
            check_queued(config)
            self.slow = MomentumQueue(model, size=settings.queue, momentum=settings.momentum)

    def prepare(self, model: Glam) -> None:
        """Leave the attention's projections as they are where late interaction does not reach them."""
        if self.settings.local != "late_interaction":
            return
        assert model.alignment is not None
        for match in (model.alignment.cc_to_mlo, model.alignment.mlo_to_cc):
            match.requires_grad_(False)

    def beside(self, model: Glam, batch: Batch, towers: Towers) -> dict[str, Tensor]:
        """Return what SimCLR, the queue and the sentences ask for."""
        fields: dict[str, Tensor] = {}
        if self.view_head is not None:
            fields |= {"pooled_cc": model.pool_view(towers.cc), "pooled_mlo": model.pool_view(towers.mlo)}
        if self.slow is not None:
            fields["keys"] = self.slow.keys_of(model, batch.other_view)
        if self.sentences is not None:
            fields |= self.sentences.features(towers, batch.sentence_ends)
        return fields

    def objective(self, features: PairFeatures, scales: Scales, local_weight: float) -> Terms:
        """The terms of the views, that of image and text, and the local ones, as chosen."""
        settings = self.settings
        image_text = image_text_loss if settings.symmetric else cc_text_loss
        terms = {
            "view": view_loss(features.view_cc, features.view_mlo, scales.view),
            "image_text": image_text(features.image_cc, features.image_mlo, features.text, scales.image_text),
        }
        total = settings.view_weight * terms["view"] + terms["image_text"]
        if self.view_head is not None:
            views = (features.pooled_cc, features.pooled_mlo)
            terms["simclr"] = simclr_loss(self.view_head, *views, settings.simclr_temperature)
            total = total + settings.simclr_weight * terms["simclr"]
        if self.slow is not None:
            terms["moco"] = self.slow.loss(features.image_cc, features.keys, settings.moco_temperature)
            total = total + settings.moco_weight * terms["moco"]
        if settings.local != "none":
            terms["local"] = self._local(features, scales.local)
            total = total + local_weight * terms["local"]
        if self.sentences is not None and local_weight:  # before its first step it costs nothing
            terms |= self.sentences.terms(features, both_views=settings.symmetric)
            total = total + local_weight * settings.sentence_weight * terms["sentences"]
        return terms | {"total": total}

    def after_update(self, model: Glam) -> None:
        """Bring the slow copy, the queue and the bound of the temperature up to the model."""
        if self.slow is not None:
            self.slow.after_update(model)
        if self.sentences is not None:
            self.sentences.bound_scale()

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
