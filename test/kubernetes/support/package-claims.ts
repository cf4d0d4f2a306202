/**
 * PersistentVolumeClaims in folders of this machine, which is the node of the cluster that is built from source: there is
 * no provisioner.
 */
import { execFile } from "node:child_process"
import { chmod, chown, mkdir, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterAll } from "vitest"
import { kubectl } from "./cluster.ts"

const run = (command: string, ...args: readonly string[]) =>
  promisify(execFile)(command, [...args], { timeout: 20_000 })

/** User and group of the Pods. */
const nonroot = 65_532

/** A claim that Pods may mount. */
export type Claim = {
  readonly name: string
  /** Its folder on the node, which is this machine. */
  readonly folder: string
  /** Changes how much a small claim holds, e.g. `64m`. */
  resize(size: string): Promise<void>
}

const undo: (() => Promise<unknown>)[] = []
afterAll(async () => {
  for (const each of undo.splice(0).reverse()) await each()
}, 60_000)

const volumeOf = (name: string, namespace: string, path: string) => ({
  apiVersion: "v1",
  kind: "PersistentVolume",
  metadata: { name: `${namespace}-${name}` },
  spec: {
    capacity: { storage: "1Gi" },
    accessModes: ["ReadWriteMany"],
    persistentVolumeReclaimPolicy: "Retain",
    storageClassName: "",
    hostPath: { path, type: "Directory" },
    claimRef: { namespace, name },
  },
})

const claimOf = (name: string, namespace: string) => ({
  apiVersion: "v1",
  kind: "PersistentVolumeClaim",
  metadata: { name, namespace },
  spec: {
    accessModes: ["ReadWriteMany"],
    storageClassName: "",
    volumeName: `${namespace}-${name}`,
    resources: { requests: { storage: "1Gi" } },
  },
})

/** Removes the volume after what mounts it: its folder goes before its namespace, which is removed without waiting. */
const remove = async (name: string, namespace: string, folder: string, isSmall: boolean): Promise<void> => {
  await kubectl(["delete", "pv", `${namespace}-${name}`, "--wait=false", "--ignore-not-found"])
  // Pods may still run from it
  if (isSmall) await run("umount", "--lazy", folder)
  await rm(folder, { recursive: true, force: true })
}

/**
 * Makes a claim that users of group 65532 may write to; gone at the end of the file.
 *
 * @param size How much it holds, e.g. `6m`; default as much as the disk.
 */
export const makeClaim = async (namespace: string, name: string, size?: string): Promise<Claim> => {
  const folder = await mkdtemp(join(tmpdir(), `reflow-${name}-`))
  if (size !== undefined) await run("mount", "-t", "tmpfs", "-o", `size=${size}`, "tmpfs", folder)
  undo.push(() => remove(name, namespace, folder, size !== undefined))
  await mkdir(folder, { recursive: true })
  await chown(folder, 0, nonroot)
  await chmod(folder, 0o2770)
  const items = [volumeOf(name, namespace, folder), claimOf(name, namespace)]
  await kubectl(["create", "-f", "-"], { input: JSON.stringify({ apiVersion: "v1", kind: "List", items }) })
  const bound = "jsonpath={.status.phase}=Bound"
  await kubectl(["wait", `--for=${bound}`, `pvc/${name}`, "-n", namespace, "--timeout=30s"])
  return {
    name,
    folder,
    resize: async (to) => {
      await run("mount", "-o", `remount,size=${to}`, folder)
    },
  }
}
