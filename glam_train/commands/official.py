"""`glam-train import-official`."""

from dataclasses import dataclass
from pathlib import Path

from glam_train.commands.options import check_counts


@dataclass(frozen=True, kw_only=True)
class ImportOfficial:
    """Turn a Lightning checkpoint of the released code into a checkpoint folder; no code in the file is run."""

    checkpoint: Path
    """The .ckpt file."""
    tokenizer: Path
    """The vocab.txt that it was trained with (BioClinicalBERT's for the published recipe)."""
    vision_heads: int
    """Attention heads of the vision transformer, which the file does not tell (12 for ViT-B)."""
    text_heads: int
    """Attention heads of BERT, which the file does not tell (12 for BERT base)."""
    out: Path
    """The folder to write."""
    image_size: int | None = None
    """Side of the square image, in pixels. None: the crop_size stored in the file."""

    def run(self) -> None:
        """Write the folder."""
        from glam_train.official import check_new, import_official, write_imported

        check_counts(vision_heads=self.vision_heads, text_heads=self.text_heads)
        check_new(self.out)
        imported = import_official(
            self.checkpoint,
            tokenizer=self.tokenizer,
            vision_heads=self.vision_heads,
            text_heads=self.text_heads,
            image_size=self.image_size,
        )
        write_imported(imported, self.out, checkpoint=self.checkpoint)
