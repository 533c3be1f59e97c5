// Arithmetic on spectra, in typed arrays: smoothing, limits, masked runs.

const LIGHT = 299_792.458; // km/s

export const redshifted = (wavelength, velocity) => wavelength * (1 + velocity / LIGHT);

/**
 * Gaussian smoothing over the good pixels, and the error of the result for independent pixels.
 * sigma in pixels, 0 leaves all as it is. Masked pixels are NaN in both.
 */
export function smooth({ flux, error, good }, sigma) {
  const n = flux.length;
  const value = new Float32Array(n).fill(NaN);
  const spread = new Float32Array(n).fill(NaN);
  const reach = Math.ceil(3 * sigma);
  const kernel = Float64Array.from({ length: 2 * reach + 1 }, (_, i) =>
    sigma ? Math.exp(-0.5 * ((i - reach) / sigma) ** 2) : 1,
  );
  for (let i = 0; i < n; i++) {
    if (!good[i]) continue;
    let sum = 0, weight = 0, variance = 0;
    const end = Math.min(n - 1, i + reach);
    for (let j = Math.max(0, i - reach); j <= end; j++) {
      if (!good[j]) continue;
      const w = kernel[j - i + reach];
      sum += w * flux[j];
      weight += w;
      if (error) variance += (w * error[j]) ** 2;
    }
    value[i] = sum / weight;
    if (error) spread[i] = Math.sqrt(variance) / weight;
  }
  return { value, spread };
}

/** The first index at which ascending values are not below a limit. */
function bisect(values, limit) {
  let first = 0, last = values.length;
  while (first < last) {
    const middle = (first + last) >> 1;
    if (values[middle] < limit) first = middle + 1;
    else last = middle;
  }
  return first;
}

/** Indices [first, last) of the wavelengths in [low, high). */
export const slice = (wavelength, low, high) => [bisect(wavelength, low), bisect(wavelength, high)];

/** Quantiles of the finite values; NaN when there are none. */
export function quantiles(values, fractions) {
  const sorted = values.filter(Number.isFinite).sort(); // a typed array sorts by number
  return fractions.map((fraction) => sorted[Math.round(fraction * (sorted.length - 1))] ?? NaN);
}

/** Limits of an axis that shows all but the `cut` most extreme values, with a margin. */
export function limits(values, cut = 0, margin = 0.06) {
  let [low, high] = quantiles(values, [cut, 1 - cut]);
  if (!Number.isFinite(low)) return [0, 1];
  if (low === high) [low, high] = [low - 0.5, high + 0.5];
  const room = margin * (high - low);
  return [low - room, high + room];
}

/** Edges {x0, x1} of the runs of masked pixels. */
export function maskedRuns(wavelength, good) {
  const x0 = [], x1 = [];
  const n = good.length;
  for (let i = 0; i < n; i++) {
    if (good[i]) continue;
    const first = i;
    while (i + 1 < n && !good[i + 1]) i++;
    x0.push((wavelength[first] + wavelength[Math.max(first - 1, 0)]) / 2);
    x1.push((wavelength[i] + wavelength[Math.min(i + 1, n - 1)]) / 2);
  }
  return { x0, x1 };
}

export const median = (values) => quantiles(values, [0.5])[0];
