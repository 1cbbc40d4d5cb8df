"""Plain LitServe: the files cross to the worker, which decodes, prepares and runs the model.

python -m bench.baselines.litserve_app BUNDLE PORT WORKERS
"""

import json
import sys
from pathlib import Path
from typing import Any

import litserve
from fastapi import Request, Response

from glam.bundle import read_bundle
from glam.loading import open_runtime
from glam.predict import Predictor


class PlainAPI(litserve.LitAPI):
    """Everything in the worker."""

    folder: Path

    def setup(self, device: str) -> None:
        """Load the model."""
        bundle = read_bundle(self.folder)
        self.predictor = Predictor(bundle, open_runtime(bundle, threads=1), withholds=True)

    def decode_request(self, request: Request, **_: object) -> dict[str, bytes]:
        """Take the files out of the form, which LitServe carried here whole."""
        return {key: request[key].file.read() for key in ("cc", "mlo")}  # pyright: ignore[reportIndexIssue]

    def predict(self, x: dict[str, bytes], **_: object) -> Any:
        """Answer."""
        return self.predictor.predict(x["cc"], x["mlo"]).as_json()

    def encode_response(self, output: Any, **_: object) -> Response:
        """Make JSON of it."""
        return Response(json.dumps(output), media_type="application/json")


def main() -> None:
    """Serve until killed."""
    folder, port, workers = sys.argv[1:]
    api = PlainAPI()
    api.folder = Path(folder)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=int(workers))
    server.run(host="127.0.0.1", port=int(port), num_api_servers=1, generate_client_file=False, log_level="error")


if __name__ == "__main__":
    main()
