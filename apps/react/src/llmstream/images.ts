import { LlmstreamError } from "./errors.js";

/** The longest side of an image that a model is sent, in pixels: most models see no more. */
const LONGEST = 1536;
// What a model takes as it is; a picture that moves is sent as one that does not.
const TAKEN = new Set(["image/png", "image/jpeg", "image/webp"]);

/**
 * A picture that somebody chose, pasted or dropped, as a data: URL to send: no side longer than `longest` pixels, as PNG,
 * JPEG or WebP. Rejects with code `client` for what the browser can't read as a picture. Needs a browser.
 */
export async function readImage(file: Blob, longest = LONGEST): Promise<string> {
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new LlmstreamError("client", "This is no image that can be read. Take a PNG, JPEG or WebP.");
  });
  const scale = longest / Math.max(bitmap.width, bitmap.height);
  if (scale >= 1 && TAKEN.has(file.type)) return urlOf(file);
  const canvas = document.createElement("canvas");
  const scaled = (side: number) => Math.ceil(side * Math.min(1, scale));
  canvas.width = scaled(bitmap.width);
  canvas.height = scaled(bitmap.height);
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL(TAKEN.has(file.type) ? file.type : "image/png", 0.9);
}

function urlOf(file: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
