"""The viewer's own server: Gradio's page, the modules it loads, and the pixels it fetches."""

from collections.abc import Mapping
from pathlib import Path

import gradio as gr
from fastapi import FastAPI, HTTPException, Request, Response

from glam.client import Client
from glam_ui.examples import Example
from glam_ui.exams import ServedModel
from glam_ui.layout import make_page
from glam_ui.privacy import PrivateHeaders
from glam_ui.store import Store

HERE = Path(__file__).parent
STATIC = {".mjs": "text/javascript", ".css": "text/css"}
MAX_FILE = "300mb"


def make_app(
    client: Client, examples: Mapping[str, Example], *, auth_header: str | None = None, store: Store | None = None
) -> FastAPI:
    """Return the app of a viewer that asks a server.

    `auth_header`: name of a header that a proxy sets to the user it has let in; without it there is no answer but 401.
    """
    kept = store or Store()
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(PrivateHeaders)

    def user(request: Request) -> str | None:
        return "anybody" if auth_header is None else request.headers.get(auth_header) or None

    def let_in(request: Request) -> None:
        if user(request) is None:
            raise HTTPException(401)

    @app.get("/pixels/{token}")
    def pixels(request: Request, token: str) -> Response:
        let_in(request)
        content = kept.get(token)
        if content is None:
            raise HTTPException(404)
        return Response(content, media_type="application/octet-stream", headers={"cache-control": "no-store"})

    @app.get("/glam-static/{name}")
    def static(request: Request, name: str) -> Response:
        let_in(request)
        path = HERE / name
        if path.parent != HERE or path.suffix not in STATIC or not path.is_file():
            raise HTTPException(404)
        return Response(path.read_bytes(), media_type=STATIC[path.suffix], headers={"cache-control": "no-cache"})

    page = make_page(client, ServedModel(raw=client.model()), kept, examples)
    return gr.mount_gradio_app(
        app,
        page,
        "/",
        auth_dependency=user,
        css=(HERE / "viewer.css").read_text(),
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=MAX_FILE,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
    )
