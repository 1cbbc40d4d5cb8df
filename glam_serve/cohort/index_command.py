"""`glam-embed index`: a graph in a large store, through which searches go in place of comparing every row."""

import sys
from dataclasses import dataclass
from pathlib import Path

from glam.predict_command import print_json


@dataclass(frozen=True, kw_only=True)
class Index:
    """Put an index into a store, which searches of a million rows and more use; it takes minutes to hours."""

    store: Path
    """Folder that `glam-embed run` made."""

    def run(self) -> int:
        """Build the index, and print where it is."""
        import faiss  # noqa: F401  # before anything is read

        from glam.store.index import INDEX_FROM, write_index
        from glam.store.opening import open_vectors
        from glam.store.run_key import read_run
        from glam.store.write import locked

        read_run(self.store)  # locking makes a folder
        with locked(self.store):
            vectors = open_vectors(self.store)
            path = write_index(vectors)
        if len(vectors) < INDEX_FROM:
            sys.stderr.write(f"glam-embed: every row is compared below {INDEX_FROM:,} rows, and the index not used\n")
        print_json({"index": str(path), "rows": len(vectors), "bytes": path.stat().st_size})
        return 0
