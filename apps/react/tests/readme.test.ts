import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer as createHttpServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createServer as createVite } from "vite";
import { expect, it, onTestFinished } from "vitest";

const APP = fileURLToPath(new URL("..", import.meta.url));
const README = join(APP, "src/llmstream/README.md");
const PROJECT_README = join(APP, "../../README.md");

/** What `npm create vite -- --template react-ts` writes into tsconfig.app.json. */
const TEMPLATE = {
  target: "es2023",
  lib: ["ES2023", "DOM"],
  module: "esnext",
  types: ["vite/client"],
  skipLibCheck: true,
  moduleResolution: "bundler",
  allowImportingTsExtensions: true,
  verbatimModuleSyntax: true,
  moduleDetection: "force",
  noEmit: true,
  jsx: "react-jsx",
  strict: true,
  noUnusedLocals: true,
  noUnusedParameters: true,
  erasableSyntaxOnly: true,
  noFallthroughCasesInSwitch: true,
  noUncheckedSideEffectImports: true,
};

/** The project's README's files: the page and Vite's configuration, whole. */
async function readmeFiles(): Promise<RegExpExecArray[]> {
  const files = [...(await readFile(PROJECT_README, "utf8")).matchAll(/^```(tsx?)\n(\/\/ \S+\n.*?)^```$/gms)];
  expect(files.length).toBe(2);
  return files;
}

/** A project of somebody who has copied the folder, and each of the README's examples in it as a file. */
async function project(config: object): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "readme-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  await symlink(join(APP, "node_modules"), join(folder, "node_modules"));
  await symlink(join(APP, "src/llmstream"), join(folder, "llmstream"));
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify({ ...config, include: ["example*", "llmstream"] }));
  const blocks = [...(await readFile(README, "utf8")).matchAll(/^```(tsx?)\n(.*?)^```$/gms)];
  expect(blocks.length).toBeGreaterThan(5);
  for (const [at, [, kind, code]] of [...blocks, ...(await readmeFiles())].entries())
    await writeFile(join(folder, `example${at}.${kind}`), `${code}`);
  return folder;
}

it.each([
  ["as strictly as this page is", { extends: join(APP, "tsconfig.json") }],
  ["with the flags of Vite's template", { compilerOptions: TEMPLATE }],
])("the hook and the README's examples compile for who has copied the folder, %s", async (_, config) => {
  const tsc = join(APP, "node_modules/typescript/bin/tsc");
  const args = [tsc, "--preserveSymlinks", "--project", await project(config)];
  const said = await promisify(execFile)(process.execPath, args).catch((error) => error);
  expect(said.stdout).toBe("");
});

it("the README's examples show what went wrong", async () => {
  const examples = [...(await readFile(README, "utf8")).matchAll(/^```tsx?\n(.*?)^```$/gms)].map(([, code]) => code);
  const showing = examples.filter((code) => /error\??\.message/.test(code ?? ""));
  expect(showing.length).toBeGreaterThan(3);
});

it("the README's proxy ends a stream whose server has died", async () => {
  let answer: ServerResponse | undefined;
  const server = createHttpServer((_, response) => {
    answer = response;
    response.write("data: half\n\n");
  }).listen(0, "127.0.0.1");
  onTestFinished(() => void server.close());
  await once(server, "listening");
  const folder = await mkdtemp(join(tmpdir(), "readme-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  await symlink(join(APP, "node_modules"), join(folder, "node_modules"));
  const [[, , code] = []] = await readmeFiles();
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await writeFile(join(folder, "vite.config.ts"), `${code}`.replace("http://localhost:8000", address));
  const vite = await createVite({ root: folder, configFile: join(folder, "vite.config.ts"), logLevel: "silent" });
  onTestFinished(() => vite.close());
  await vite.listen(0);
  const page = await fetch(`${vite.resolvedUrls?.local[0]}llm/stream`);
  const reader = page.body?.getReader() as ReadableStreamDefaultReader<Uint8Array>;
  expect(new TextDecoder().decode((await reader.read()).value)).toBe("data: half\n\n");
  answer?.socket?.destroy();
  expect(
    await reader.read().then(
      ({ done }) => done,
      () => true,
    ),
  ).toBe(true);
});
