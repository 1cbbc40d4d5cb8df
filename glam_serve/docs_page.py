"""`GET /docs`: the published schema as one plain page, without a script, a font or a picture from anywhere."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

Json = Mapping[str, Any]
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1d21}"
    "h2{border-top:1px solid #ccd;padding-top:1rem}h2 b{font:600 .8em ui-monospace,monospace;color:#245}"
    "table{border-collapse:collapse;width:100%}td,th{border:1px solid #ccd;padding:.3rem .6rem;text-align:left;"
    "vertical-align:top}code,pre{font:.9em ui-monospace,monospace}pre{background:#f4f5f7;padding:.6rem;overflow:auto}"
)


def docs_page(schema: Json) -> str:
    """Return the HTML page of an OpenAPI schema."""
    title = f"{escape(schema['info']['title'])} {escape(schema['info']['version'])}"
    intro = f"<h1>{title}</h1><p>{escape(schema['info'].get('description', ''))}</p>"
    intro += '<p>The same for programs: <a href="openapi.json">openapi.json</a></p>'
    if schemes := schema["components"].get("securitySchemes"):
        intro += f"<p>A key is sent as {' or '.join(map(_key_header, schemes.values()))}.</p>"
    parts = [*_paths(schema), "<h1>Shapes</h1>", *_shapes(schema)]
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{intro}{"".join(parts)}</body></html>\n'


def _key_header(scheme: Json) -> str:
    return f"<code>{escape(scheme['name'] if scheme['type'] == 'apiKey' else 'Authorization: Bearer')}</code>"


def _paths(schema: Json) -> Iterator[str]:
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            yield f"<h2><b>{method.upper()}</b> <code>{escape(path)}</code></h2><p>{escape(operation['summary'])}</p>"
            if description := operation.get("description"):
                yield f"<p>{escape(description)}</p>"
            if operation.get("security"):
                yield "<p>Needs a key.</p>"
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
                yield f"<p>Send <code>{media_type}</code>: {_type_of(content['schema'])}</p>{_example(content)}"
            yield "<ul>" + "".join(map(_response, operation["responses"].items())) + "</ul>"


def _response(response: tuple[str, Json]) -> str:
    status, told = response
    content = told.get("content", {})
    kinds = [f"<code>{media_type}</code> {_type_of(entry['schema'])}" for media_type, entry in content.items()]
    name = "any error" if status == "default" else status
    return f"<li>{name}: {' or '.join(kinds) or 'no body'}</li>"


def _shapes(schema: Json) -> Iterator[str]:
    for name, shape in schema["components"]["schemas"].items():
        yield f'<h2 id="{name}">{name}</h2><p>{escape(shape.get("description", ""))}</p><table>'
        for field, entry in shape.get("properties", {}).items():
            needed = "" if field in shape.get("required", ()) else " (may be left out)"
            words = escape(entry.get("description", ""))
            yield f"<tr><td><code>{escape(field)}</code></td><td>{_type_of(entry)}{needed}</td><td>{words}</td></tr>"
        yield "</table>"


def _type_of(entry: Json) -> str:
    """Return the type of a value in words, shapes as links."""
    if "$ref" in entry:
        name = entry["$ref"].rpartition("/")[2]
        return f'<a href="#{name}">{name}</a>'
    if options := entry.get("anyOf") or entry.get("oneOf"):
        return " or ".join(map(_type_of, options))
    if "enum" in entry or "const" in entry:
        return " or ".join(
            f"<code>{escape(json.dumps(value))}</code>" for value in entry.get("enum", [entry.get("const")])
        )
    if entry.get("type") == "array":
        return f"list of {_type_of(entry['items'])}" if "items" in entry else "list"
    if isinstance(entry.get("additionalProperties"), dict):
        return f"object of {_type_of(entry['additionalProperties'])}"
    if entry.get("format") == "binary":
        return "file"
    return escape(str(entry.get("type", "anything")))


def _example(content: Json) -> str:
    return f"<pre>{escape(json.dumps(content['example'], indent=1))}</pre>" if "example" in content else ""
