"""What may be chosen anew each time that a run goes on: where and how it is computed, saved and told."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class SessionOptions:
    """Options that change no number of a run."""

    device: str | None = None
    """cpu, cuda, cuda:1 ... None: a GPU where there is one."""
    save_every: int | None = None
    """Updates between checkpoints. None: a quarter of an hour between them, and one at the end."""
    readers: int | None = None
    """Threads that read and change the images of coming updates. None: 1 on a processor, whose cores train; 4 for a
    GPU."""
    stop_after_s: float | None = None
    """Save and stop after this many seconds, to be resumed. None: run to the end."""
    checkpointing: bool = False
    """Compute what is inside the towers a second time for the gradient, in place of keeping it: less memory."""
    compile: bool = False
    """Compile the towers with torch.compile before the first update."""
    deterministic: bool = False
    """Take only algorithms of torch that give the same bits again on a GPU, as those on the CPU do."""
    log: Literal["wandb"] | None = None
    """wandb: metrics go to Weights & Biases too, as a record on this machine. None: metrics.jsonl and TensorBoard."""
    wandb_online: bool = False
    """Send that record, and the settings of the run, to the wandb server while the run goes on."""
