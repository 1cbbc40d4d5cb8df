"""The page of a described store: one file with its picture, its counts and its odd rows, and nothing from elsewhere."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from glam.prediction import NOTICE

PICTURE_TEXT = "Rows of the store on the two axes along which their embeddings vary most, coloured by "
STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1300px; padding: 16px 24px 48px; }
img { height: auto; max-width: 100%; }
.notice { border-left: 4px solid #b36b00; font-weight: 600; padding-left: 10px; }
.counts { align-items: start; display: grid; gap: 8px 32px;
  grid-template-columns: repeat(auto-fit, minmax(240px, 1fr)); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 12px 0; }
caption { font-weight: 600; text-align: left; }
th, td { border-bottom: 1px solid #8888; padding: 3px 16px 3px 0; text-align: left; vertical-align: top; }
td.number { text-align: right; }
.wide { overflow-x: auto; }
"""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
TITLES = {
    "density": "Density, likeliest class",
    "birads": "BI-RADS, likeliest class",
    "image_type": "Kind of image",
    "codes": "Codes of intake",
    "missing": "Missing views",
}


def page_of(told: Mapping[str, Any], png: bytes, *, names_images: bool) -> str:
    """Return the page of what describe.json tells, and of the picture's PNG. HTML.

    `names_images`: whether rows that are images are named by their ids, which may be paths.
    """
    source = "data:image/png;base64," + base64.b64encode(png).decode()
    drawn = PICTURE_TEXT + ", ".join(told["picture"]["coloured_by"])
    head = (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>GLAM store, {told['rows']:,} rows</title>"
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<meta name='viewport' content='width=device-width'><style>{STYLE}</style></head><body><main>"
    )
    tables = [
        _counts(TITLES.get(name) or name.capitalize(), counts, told["rows"]) for name, counts in told["counts"].items()
    ]
    return "".join(
        [
            head,
            f"<h1>What the store holds</h1><p class='notice'>{escape(NOTICE.capitalize())}</p>",
            *(f"<p>{escape(line)}</p>" for line in told["in_words"]),
            f"<h2>The rows on two axes</h2><img alt='{escape(drawn, quote=True)}' src='{source}'>",
            f"<h2>Counts of rows</h2><div class='counts'>{''.join(tables)}</div>",
            f"<h2>Odd ones out</h2>{_odd(told['odd'], names_images=names_images)}",
            "</main></body></html>\n",
        ]
    )


def _counts(title: str, counts: Mapping[str, int], rows: int) -> str:
    lines = [
        f"<tr><th scope='row'>{escape(name)}</th><td class='number'>{count:,}</td>"
        f"<td class='number'>{100 * count / rows:.1f} %</td></tr>"
        for name, count in counts.items()
    ]
    body = "".join(lines) or "<tr><td>none</td></tr>"
    return f"<table><caption>{escape(title)}</caption><tbody>{body}</tbody></table>"


def _odd(odd: Mapping[str, Any], *, names_images: bool) -> str:
    explained = f"<p>{escape(odd['explained'])}</p>"
    rows: Sequence[Mapping[str, Any]] = odd["rows"]
    if not rows:
        return explained + "<p>None.</p>"
    hidden = {"images"} if names_images else {"images", "image_id"}
    names = [name for name in rows[0] if name not in hidden]
    head = "".join(f"<th scope='col'>{escape(name.replace('_', ' '))}</th>" for name in names)
    lines = ("<tr>" + "".join(_cell(row[name]) for name in names) + "</tr>" for row in rows)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return f"{explained}<div class='wide'>{table}</div>"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"<td class='number'>{value:g}</td>"
    return f"<td>{escape(', '.join(value) if isinstance(value, list) else str(value))}</td>"
