// Arrays from the base64 texts of the server.

export function bytes(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const text = atob(base64);
  const out = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) out[i] = text.charCodeAt(i);
  return out;
}

export const floats = (base64) => base64 && new Float32Array(bytes(base64).buffer);

export const integers = (base64) => new Int32Array(bytes(base64).buffer);

/** Angstrom (float64, n): from an array, or from the two numbers of a uniform log10 grid. */
export function wavelengths(grid, n) {
  if (grid.wavelength) return floats(grid.wavelength);
  const out = new Float64Array(n);
  for (let i = 0; i < n; i++) out[i] = 10 ** (grid.log10_lambda0 + i * grid.dlog10_lambda);
  return out;
}

/** {wavelength, flux, error|null, good} as typed arrays. */
export function decodeSpectrum(answer) {
  const flux = floats(answer.flux);
  return {
    wavelength: wavelengths(answer.spectrum, flux.length),
    flux,
    error: floats(answer.error),
    good: bytes(answer.good),
  };
}
