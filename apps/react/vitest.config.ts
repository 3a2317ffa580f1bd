import { defineConfig } from "vitest/config";

const inPage = "tests/**/*.page.test.{ts,tsx}";

export default defineConfig({
  test: {
    testTimeout: 20_000,
    hookTimeout: 20_000,
    unstubGlobals: true,
    restoreMocks: true,
    expect: { poll: { interval: 5, timeout: 10_000 } },
    projects: [
      // Their modules keep nothing: one process for all of them, in half the time.
      { extends: true, test: { name: "node", isolate: false, include: ["tests/**/*.test.ts"], exclude: [inPage] } },
      { extends: true, test: { name: "page", include: [inPage], environment: "./tests/environment.ts" } },
    ],
  },
});
