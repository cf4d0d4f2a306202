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
    // the deletion of objects of an earlier file may take minutes
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
      // the operator must be tested in every case that it decides
      thresholds: { "src/operator/**": { branches: 90 } },
    },
    projects: [
      // Unit tests leave no shared state behind, so all files share one module graph: it takes a third of the CPU time.
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
          // Each file runs whole programs and mostly waits for them: after the other projects, three files at once.
          sequence: { groupOrder: 1 },
          maxWorkers: 3,
          // Programs start slowly on a busy machine; a broken program fails before the timeout anyway.
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
          // programs in four languages start slowly on a busy machine
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      // the same properties as in the project unit, each for REFLOW_FUZZ_SECONDS
      { extends: true, test: { name: "fuzz", include: ["test/fuzz/**/*.test.ts"] } },
      // CPU time is measured: one file after the other, and no other project at the same time
      {
        extends: true,
        test: { name: "growth", include: ["test/growth/**/*.test.ts"], maxWorkers: 1, sequence: { groupOrder: 6 } },
      },
      // Each of these files has namespaces of its own and mostly waits for the cluster: two files at once.
      onCluster("kubernetes", ["test/kubernetes/*.test.ts"], { groupOrder: 2, maxWorkers: 2 }),
      // These files use the namespaces that the manifests name, and delete the CRDs: one file at once, and no other project.
      onCluster("installation", ["test/kubernetes/installation/*.test.ts"], { groupOrder: 3, maxWorkers: 1 }),
      // reads the API server's audit log of the projects before it
      onCluster("audit", ["test/kubernetes/audit/*.test.ts"], { groupOrder: 4, maxWorkers: 1 }),
      {
        extends: true,
        test: {
          name: "soak",
          // here the reflector is tested with real durations (an outage of half a minute, a watch that is silent for
          // longer), and each simulated day of the embedded cluster is a new random one
          include: [
            "test/soak/**/*.test.ts",
            "test/kubernetes/reflector.test.ts",
            "test/integration/simulated-day.test.ts",
          ],
          globalSetup: ["test/kubernetes/support/setup.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          sequence: { groupOrder: 5 },
          // the test of silent calls needs time but no CPU
          maxWorkers: 2,
        },
      },
    ],
  },
})
