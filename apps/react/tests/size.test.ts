import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, type Rolldown } from "vite";
import { expect, it } from "vitest";

const SOURCES = fileURLToPath(new URL("../src/llmstream/", import.meta.url));
const PAGE = fileURLToPath(new URL("../../../llmstream/page/", import.meta.url));

function gzipped(content: string | Uint8Array): number {
  return gzipSync(content, { level: 9 }).length;
}

it("the hooks, the client and the parser are less than 7 kB gzipped", async () => {
  const everything = {
    name: "everything",
    resolveId: (id: string) => (id === "everything" ? id : undefined),
    load: (id: string) =>
      id === "everything" ? `export * from "${SOURCES}index.ts"; export * from "${SOURCES}react.ts";` : undefined,
  };
  const { output } = (await build({
    configFile: false,
    logLevel: "error",
    plugins: [everything],
    build: {
      write: false,
      rolldownOptions: { input: "everything", external: ["react"], preserveEntrySignatures: "strict" },
    },
  })) as Rolldown.RolldownOutput;
  const code = output.map((chunk) => (chunk.type === "chunk" ? chunk.code : "")).join("");
  // Nothing is missing from it: the stores and the hooks.
  for (const name of ["createClient", "createChat", "useRun", "useChat"]) expect(code).toContain(name);
  expect(gzipped(code)).toBeLessThan(7_000);
});

it.skipIf(!existsSync(PAGE))("the page with all it ever loads is less than 220 kB gzipped", () => {
  const files = readdirSync(PAGE, { recursive: true, withFileTypes: true }).filter((file) => file.isFile());
  const sizes = files.map((file) => gzipped(readFileSync(`${file.parentPath}/${file.name}`)));
  expect(sizes.length).toBeGreaterThan(3);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(220_000);
});
