// The panel `images`: the bands of an image.

import { $, h } from "./dom.js";
import { floats } from "./arrays.js";
import { limits, median } from "./spectrum.js";

export function decode(images) {
  images.pixels = images.pixels.map(floats);
  return images;
}

/** One greyscale canvas a band, arcsinh between the sky and the brightest percent, north up as the file has it. */
export function show({ bands, shape, pixels: images }) {
  const container = $("extra-images");
  const [height, width] = shape;
  if (container.childElementCount !== bands.length) {
    container.replaceChildren(...bands.map(() => h("figure", {}, h("canvas"), h("figcaption"))));
  }
  bands.forEach((band, k) => {
    const [canvas, caption] = container.children[k].children;
    caption.textContent = band;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `image in ${band}`);
    Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(width, height);
    const [sky, bright] = [median(images[k]), limits(images[k], 0.002, 0)[1]];
    const soft = (bright - sky) / 10 || 1;
    const top = Math.asinh((bright - sky) / soft);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        // FITS planes begin at the bottom, canvases at the top.
        const value = images[k][(height - 1 - y) * width + x];
        const grey = 24 + 231 * (Math.asinh((value - sky) / soft) / top);
        const at = 4 * (y * width + x);
        pixels.data[at] = pixels.data[at + 1] = pixels.data[at + 2] = Number.isFinite(grey) ? grey : 0;
        pixels.data[at + 3] = 255;
      }
    }
    context.putImageData(pixels, 0, 0);
  });
}
