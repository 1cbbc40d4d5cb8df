"""What a run says of itself before its first update."""

from pathlib import Path

from glam_train.pretraining.run_folder import Run, checkpoints, read_run, updates_of


def announcement(out: Path, *, num_pairs: int) -> str:
    """Return in a line what an update takes, by which method, and what the run in `out` starts or goes on from."""
    run, saved = read_run(out), checkpoints(out)
    config = run.config
    taken = (
        f"{config.pairs_per_update} pairs an update (batch_size {config.batch_size} x accumulate {config.accumulate})"
    )
    epochs = config.steps * config.pairs_per_update / num_pairs
    often = f"{epochs:.3g} times each" if config.balance is None else f"balanced by {config.balance}"
    planned = f"{config.steps} updates of {num_pairs} pairs ({often})"
    begun = f"on from {saved[-1].name} of {updates_of(saved[-1])} updates" if saved else f"from {_first_weights(run)}"
    return f"{taken}, {planned}, method {config.method.name} in {config.precision}, {begun}"


def _first_weights(run: Run) -> str:
    if run.start.towers:
        return "published weights of " + " and ".join(run.start.towers)
    if run.start.checkpoint is None:
        return f"random weights (seed {run.config.seed})"
    heads = "with its heads" if run.start.has_heads else f"its model alone, heads from seed {run.config.seed}"
    return f"{run.start.checkpoint} ({heads})"
