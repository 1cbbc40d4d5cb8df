"""The viewer's own server: Gradio's page, the modules it loads, and the pixels it fetches."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import gradio as gr
from fastapi import FastAPI, HTTPException, Response
from gradio.themes import Base
from starlette.middleware.trustedhost import TrustedHostMiddleware

from .admission import Admission, Door
from .arrivals import MAX_FILE_BYTES
from .examples import Example
from .exams import Desk
from .guard import Guard
from .layout import DESCRIPTION, make_page
from .leftovers import Leftovers
from .privacy import PrivateHeaders
from .questions import Questions
from .store import Store

HERE = Path(__file__).parent
STATIC = {".mjs": "text/javascript", ".css": "text/css"}

STILL = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'"
"""Policy of the page about a store, which runs and fetches nothing."""


def make_app(
    desk: Desk,
    examples: Mapping[str, Example],
    *,
    admission: Admission | None = None,
    hosts: Sequence[str] | None = None,
    description: Path | None = None,
) -> FastAPI:
    """Return the app of a viewer.

    `examples`: by name. `admission`: None lets everybody in. `hosts`: by which it may be called; None: by any.
    `description`: a page about a store, as `glam-embed describe` writes it.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    page = make_page(desk, examples, is_described=description is not None)
    app.add_middleware(Leftovers, page=page)
    app.add_middleware(Guard, questions=Questions.of(page))
    if admission is not None:
        app.add_middleware(Door, admission=admission)
    if hosts is not None:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    app.add_middleware(PrivateHeaders)
    _add_routes(app, desk.store, description)
    return gr.mount_gradio_app(
        app,
        page,
        "/",
        css=(HERE / "viewer.css").read_text(),
        head='<link rel="stylesheet" href="glam-static/page.css">',
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=MAX_FILE_BYTES,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
    )


def _add_routes(app: FastAPI, kept: Store, description: Path | None) -> None:
    """Add what the page fetches besides what is Gradio's."""

    @app.get("/kept/{token}")
    def fetched(token: str) -> Response:
        found = kept.get(token)
        if found is None:
            raise HTTPException(404)
        headers = {"cache-control": "no-store"}
        if found.file_name is not None:
            headers["content-disposition"] = f'attachment; filename="{found.file_name}"'
        return Response(found.content, media_type="application/octet-stream", headers=headers)

    @app.get("/glam-static/{name}")
    def static(name: str) -> Response:
        path = HERE / name
        if path.parent != HERE or path.suffix not in STATIC or not path.is_file():
            raise HTTPException(404)
        return Response(path.read_bytes(), media_type=STATIC[path.suffix], headers={"cache-control": "no-cache"})

    @app.get(f"/{DESCRIPTION}")
    def described() -> Response:
        if description is None or not description.is_file():
            raise HTTPException(404)
        headers = {"cache-control": "no-store", "content-security-policy": STILL}
        return Response(description.read_bytes(), media_type="text/html; charset=utf-8", headers=headers)
