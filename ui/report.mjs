/** What is seen, to take away: a picture of the panes, and one page of PDF with it and the words beside it. */

const PAGE = { width: 842, height: 595 };
/** A4, lying, in points. */
const MARGIN = 36;
const LINE = 13;
const TITLE = 15;

const FOOT = 28;
/** Screen pixels for the line under the views. */

/** The panes side by side, as they are on the screen, and a line under them, on a canvas. */
export function composed(panes, line) {
  const ratio = panes[0].ratio;
  const width = panes.reduce((sum, { size }) => sum + size.width, 0);
  const height = Math.max(...panes.map(({ size }) => size.height));
  const canvas = new OffscreenCanvas(Math.round(width * ratio), Math.round((height + FOOT) * ratio));
  const context = canvas.getContext("2d");
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.font = `600 ${13 * ratio}px system-ui, sans-serif`;
  let left = 0;
  for (const pane of panes) {
    context.drawImage(pane.image, left, 0);
    context.drawImage(pane.over, left, 0);
    context.fillStyle = "#fff";
    context.fillText(pane.top.textContent, left + 8 * ratio, 18 * ratio);
    left += pane.image.width;
  }
  context.fillStyle = "#d7dbe0";
  context.fillText(line, 8 * ratio, (height + FOOT - 9) * ratio);
  return canvas;
}

/**
 * One page of PDF: a title, a JPEG, and lines of text under it.
 * @param {{title: string, jpeg: Uint8Array, width: number, height: number, lines: string[]}} report
 * @returns {Uint8Array}
 */
export function pdfOf({ title, jpeg, width, height, lines }) {
  const room = { width: PAGE.width - 2 * MARGIN, height: PAGE.height - 2 * MARGIN - TITLE - LINE * (lines.length + 1) };
  const scale = Math.min(room.width / width, room.height / height);
  const [wide, high] = [width * scale, height * scale];
  const bottom = PAGE.height - MARGIN - TITLE - high - 6;
  const text = [`BT /F1 ${TITLE} Tf ${MARGIN} ${PAGE.height - MARGIN - 10} Td (${escaped(title)}) Tj ET`];
  lines.forEach((line, place) => text.push(`BT /F1 9 Tf ${MARGIN} ${(bottom - LINE * (place + 1)).toFixed(2)} Td (${escaped(line)}) Tj ET`));
  const drawing = `q ${wide.toFixed(2)} 0 0 ${high.toFixed(2)} ${MARGIN} ${bottom.toFixed(2)} cm /Im1 Do Q\n${text.join("\n")}`;
  return joined([
    "<< /Type /Catalog /Pages 2 0 R >>",
    "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
    `<< /Type /Page /Parent 2 0 R /MediaBox [0 0 ${PAGE.width} ${PAGE.height}] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> /XObject << /Im1 6 0 R >> >> >>`,
    [`<< /Length ${drawing.length} >>`, bytesOf(drawing)],
    "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    [`<< /Type /XObject /Subtype /Image /Width ${width} /Height ${height} /ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /DCTDecode /Length ${jpeg.length} >>`, jpeg],
  ]);
}

/** Objects, the table of where each begins, and the end, as ISO 32000-1 7.5 has it. */
function joined(objects) {
  const pieces = [bytesOf("%PDF-1.4\n%\u00e2\u00e3\u00cf\u00d3\n")];
  let length = pieces[0].length;
  const add = (piece) => {
    pieces.push(piece);
    length += piece.length;
  };
  const starts = objects.map((object, place) => {
    const start = length;
    const [dictionary, stream] = Array.isArray(object) ? object : [object];
    add(bytesOf(`${place + 1} 0 obj\n${dictionary}\n`));
    if (stream) {
      add(bytesOf("stream\n"));
      add(stream);
      add(bytesOf("\nendstream\n"));
    }
    add(bytesOf("endobj\n"));
    return start;
  });
  const table = length;
  const entries = starts.map((start) => `${String(start).padStart(10, "0")} 00000 n \n`).join("");
  add(bytesOf(`xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${entries}`));
  add(bytesOf(`trailer\n<< /Size ${objects.length + 1} /Root 1 0 R >>\nstartxref\n${table}\n%%EOF\n`));
  const whole = new Uint8Array(length);
  pieces.reduce((place, piece) => (whole.set(piece, place), place + piece.length), 0);
  return whole;
}

/** Text in the page's encoding, a byte a letter; what it lacks is a question mark. */
const bytesOf = (text) => Uint8Array.from(text, (letter) => (letter.codePointAt(0) < 256 ? letter.codePointAt(0) : 63));

const escaped = (text) => text.replace(/[\\()]/g, "\\$&").replace(/[\r\n]/g, " ");
