import { defineConfig } from "vitest/config"
import { LastFileSequencer } from "./test/support/last-file.ts"

export default defineConfig({
  test: {
    testTimeout: 30_000,
    hookTimeout: 30_000,
    sequence: { sequencer: LastFileSequencer },
    coverage: {
      provider: "v8",
      include: ["src/**"],
      reportsDirectory: "coverage",
      // what the operator does in each case is what it is trusted for
      thresholds: { "src/operator/**": { branches: 90 } },
    },
    projects: [
      // Pure functions share nothing that could be left behind: one module graph for all files takes a third of the CPU.
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/unit/**/*.test.ts", "test/fuzz/**/*.test.ts"],
          isolate: false,
          maxWorkers: 2,
        },
      },
      { extends: true, test: { name: "integration", include: ["test/integration/**/*.test.ts"], maxWorkers: 2 } },
      {
        extends: true,
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          globalSetup: ["test/support/build-outputs.ts"],
          // Each file runs whole programs with their servers and mostly waits for them: apart from the others, three at once.
          sequence: { groupOrder: 1 },
          maxWorkers: 3,
          // They start programs and their servers: a busy machine needs patience, a broken program fails anyway.
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: "sdks",
          include: ["test/sdks/**/*.test.ts"],
          globalSetup: ["test/sdks/setup.ts"],
          sequence: { groupOrder: 5 },
          maxWorkers: 2,
          // programs in four languages start on whatever cores are left
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      // the same properties as in the unit tests, for as long as REFLOW_FUZZ_SECONDS says
      { extends: true, test: { name: "fuzz", include: ["test/fuzz/**/*.test.ts"] } },
      // each family is measured in a process of its own, one after the other: nothing else may use the CPU meanwhile
      {
        extends: true,
        test: { name: "growth", include: ["test/growth/**/*.test.ts"], maxWorkers: 1, sequence: { groupOrder: 4 } },
      },
      {
        extends: true,
        test: {
          name: "kubernetes",
          include: ["test/kubernetes/**/*.test.ts"],
          globalSetup: ["test/kubernetes/support/setup.ts"],
          testTimeout: 120_000,
          // what an earlier file left behind may take its time to go
          hookTimeout: 300_000,
          // One cluster, often on the same few cores, and tests that measure time: one file after the other.
          sequence: { groupOrder: 2 },
          maxWorkers: 1,
        },
      },
      {
        extends: true,
        test: {
          name: "soak",
          // the reflector is tortured with real times here: an outage of half a minute, a watch that is silent for longer;
          // and the days of the embedded cluster are others each time
          include: [
            "test/soak/**/*.test.ts",
            "test/kubernetes/reflector.test.ts",
            "test/integration/simulated-day.test.ts",
          ],
          globalSetup: ["test/kubernetes/support/setup.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          sequence: { groupOrder: 3 },
          // the silent calls need no more than time
          maxWorkers: 2,
        },
      },
    ],
  },
})
