"""Plain FastAPI: one process, one model, a lock around it.

python -m bench.baselines.fastapi_app BUNDLE PORT
"""

import sys
import threading
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, File, UploadFile

from glam.bundle import read_bundle
from glam.loading import open_runtime
from glam.predict import Predictor


def main() -> None:
    """Serve until killed."""
    bundle = read_bundle(Path(sys.argv[1]))
    predictor = Predictor(bundle, open_runtime(bundle, threads=1), withholds=True)
    lock, app = threading.Lock(), FastAPI()

    @app.post("/predict")
    def predict(cc: UploadFile = File(), mlo: UploadFile = File()) -> Any:  # noqa: B008
        with lock:
            return predictor.predict(cc.file, mlo.file).as_json()

    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error")


if __name__ == "__main__":
    main()
