"""`glam-train doctor`: what is wrong with a prepared cache."""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Hold every pair of a cache to its record; prints all faults as JSON, and ends with 1 where there is one."""

    cache: Path
    """Folder of a cache that `glam-train prepare` or `prepare-phantoms` wrote."""

    def run(self) -> None:
        """Examine it."""
        from glam_train.data.cache import CacheError, read_cache
        from glam_train.data.doctor import examine, shard_names
        from glam_train.progress import progress_bar

        total, pairs, faults = len(shard_names(self.cache)), 0, []
        with progress_bar("doctor", total=total) as show_done:
            for done, shard in enumerate(examine(self.cache), start=1):
                pairs += shard.pairs
                faults += shard.faults
                show_done(done, f"{len(faults)} faults" if faults else "")
        found = [asdict(fault) for fault in faults]
        sys.stdout.write(json.dumps({"shards": total, "pairs": pairs, "faults": found}, indent=1) + "\n")
        if faults:
            bad = sorted({fault.shard for fault in faults})
            named = ", ".join(bad[:5]) + (" and others" if len(bad) > 5 else "")
            counted = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
            raise CacheError(
                f"{counted} in {len(bad)} of {total} shards ({named}): delete the .npy and .jsonl of each"
                " and run the command of the cache again"
            )
        read_cache(self.cache)  # whose rules are of the cache as a whole: its version, at least one pair
