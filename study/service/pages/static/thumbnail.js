// A landscape as a picture of a pixel a cell, enlarged by the style sheet.

import { make } from "./dom.js";
import { colourAt, position } from "./heatmap.js";

const DEAD = "#8d949c"; // grey enough in light and dark

export function drawThumbnail(panel, { scale, colours }) {
  const [rows, columns] = panel.axes.map((axis) => axis.values.length);
  const canvas = make("canvas", { width: columns, height: rows, role: "img", "aria-label": `Landscape of ${panel.optimizer}`, title: panel.optimizer });
  const context = canvas.getContext("2d");
  for (const [i, row] of panel.mean.entries()) {
    for (const [j, value] of row.entries()) {
      const at = position(value, scale);
      if (at === null) continue;
      context.fillStyle = panel.dead[i][j] ? DEAD : colourAt(at, colours);
      context.fillRect(j, rows - 1 - i, 1, 1);
    }
  }
  return canvas;
}
