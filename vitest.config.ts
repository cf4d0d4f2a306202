import { defineConfig, type TestProjectConfiguration } from "vitest/config"

/** Files that run against a real cluster, after those of a lower `groupOrder`, and so many at once. */
const onCluster = (
  name: string,
  include: string[],
  { groupOrder, maxWorkers }: { readonly groupOrder: number; readonly maxWorkers: number },
): TestProjectConfiguration => ({
  extends: true,
  test: {
    name,
    include,
    globalSetup: ["test/kubernetes/support/setup.ts"],
    testTimeout: 120_000,
    // what an earlier file left behind may take its time to go
    hookTimeout: 300_000,
    sequence: { groupOrder },
    maxWorkers,
  },
})

export default defineConfig({
  test: {
    testTimeout: 30_000,
    hookTimeout: 30_000,
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
          sequence: { groupOrder: 7 },
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
        test: { name: "growth", include: ["test/growth/**/*.test.ts"], maxWorkers: 1, sequence: { groupOrder: 6 } },
      },
      // one cluster, often on the same few cores: two files that keep to namespaces of their own, and mostly wait
      onCluster("kubernetes", ["test/kubernetes/*.test.ts"], { groupOrder: 2, maxWorkers: 2 }),
      // these have the namespaces that the manifests name, and the kinds themselves: one after the other, with nothing beside
      onCluster("installation", ["test/kubernetes/installation/*.test.ts"], { groupOrder: 3, maxWorkers: 1 }),
      // reads what the files before it have made the API server log
      onCluster("audit", ["test/kubernetes/audit/*.test.ts"], { groupOrder: 4, maxWorkers: 1 }),
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
          sequence: { groupOrder: 5 },
          // the silent calls need no more than time
          maxWorkers: 2,
        },
      },
    ],
  },
})
