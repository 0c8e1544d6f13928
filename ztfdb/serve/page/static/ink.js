// Colours of the page for what is drawn, and canvases as dense as the screen.

import { CanvasPen } from "./pen.js";

export const LIGHT = { paper: "#ffffff", panel: "#f4f6f8", ink: "#16202a", soft: "#55616d", line: "#c3ccd4", grid: "#e6eaee", accent: "#0b5cad", zg: "#007a59", zr: "#c24e00", zi: "#0072b2", other: "#4d4d4d" };

export function inks() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(Object.keys(LIGHT).map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

// A pen on a canvas in CSS pixels, or null where the canvas is not shown.
export function penOf(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width || !height) return null;
  const dense = devicePixelRatio || 1;
  const [wide, high] = [Math.round(width * dense), Math.round(height * dense)];
  if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
  const context = canvas.getContext("2d", { willReadFrequently: true }); // symbols are mixed into its pixels
  context.setTransform(dense, 0, 0, dense, 0, 0);
  return { pen: new CanvasPen(context), context, width, height };
}

// Draw again where the size or the colours change.
export function redrawn(canvas, draw) {
  new ResizeObserver(draw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}
