import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it, onTestFinished } from "vitest";

const APP = fileURLToPath(new URL("..", import.meta.url));
const README = join(APP, "src/llmstream/README.md");

it("the README's examples are right for who has copied the folder", async () => {
  const blocks = [...(await readFile(README, "utf8")).matchAll(/^```(tsx?)\n(.*?)^```$/gms)];
  expect(blocks.length).toBeGreaterThan(3);
  const project = await mkdtemp(join(tmpdir(), "readme-"));
  onTestFinished(() => rm(project, { recursive: true }));
  await symlink(join(APP, "node_modules"), join(project, "node_modules"));
  await symlink(join(APP, "src/llmstream"), join(project, "llmstream"));
  const config = { extends: join(APP, "tsconfig.json"), include: ["example*"] };
  await writeFile(join(project, "tsconfig.json"), JSON.stringify(config));
  for (const [at, [, kind, code]] of blocks.entries())
    await writeFile(join(project, `example${at}.${kind}`), `${code}`);
  const tsc = join(APP, "node_modules/typescript/bin/tsc");
  const said = await promisify(execFile)(process.execPath, [tsc, "--project", project]).catch((error) => error);
  expect(said.stdout).toBe("");
});
