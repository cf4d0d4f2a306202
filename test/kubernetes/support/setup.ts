import { execFile } from "node:child_process"
import { resolve } from "node:path"
import { promisify } from "node:util"
import type { TestProject } from "vitest/node"
import { type FoundCluster, findCluster, noCluster } from "./find-cluster.ts"
import { ensureAllImages } from "./images.ts"

declare module "vitest" {
  export interface ProvidedContext {
    cluster: FoundCluster
    /** When this run began, in milliseconds since the epoch: what is older in logs is not its doing. */
    startedAt: number
  }
}

const crds = resolve(import.meta.dirname, "../../../crd")

/** Builds what operators that run as processes put into Pods. Files that run beside each other must not build at once. */
const buildBundles = async (): Promise<void> => {
  for (const name of ["bridge", "install"]) await promisify(execFile)(process.execPath, ["build.config.ts", name])
}

/** Finds the cluster once for all files of a run, and gives it the kinds of this repository. */
export const setup = async (project: TestProject): Promise<void> => {
  project.provide("startedAt", Date.now())
  const cluster = await findCluster()
  if (cluster === undefined) throw new Error(noCluster)
  const run = (...args: string[]) =>
    promisify(execFile)(cluster.kubectl, ["--kubeconfig", cluster.kubeconfig, ...args], { timeout: 60_000 })
  await run("apply", "--server-side", "--force-conflicts", "-f", crds)
  await run("wait", "--for=condition=Established", "--timeout=30s", "-f", crds)
  if (project.name === "kubernetes") await buildBundles()
  // files that run beside each other must not make the same image at once
  if (project.name === "kubernetes" && process.env.REFLOW_TEST_WHOLE === "1") await ensureAllImages(cluster)
  project.provide("cluster", cluster)
}
