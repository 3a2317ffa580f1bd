import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const server = process.env.LLMSTREAM_URL ?? "http://127.0.0.1:8000";
const paths = ["/runs", "/stream", "/nostream", "/models", "/health", "/docs", "/openapi.json", "/gradio"];

export default defineConfig({
  plugins: [react()],
  base: "./",
  // The Python package serves what is built; nothing is inlined, because the page's policy forbids it.
  build: { outDir: "../../llmstream/page", emptyOutDir: true, assetsInlineLimit: 0 },
  server: { proxy: Object.fromEntries(paths.map((path) => [path, server])) },
});
