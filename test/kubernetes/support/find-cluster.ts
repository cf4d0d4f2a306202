import { execFile, spawn } from "node:child_process"
import { mkdir, stat, writeFile } from "node:fs/promises"
import { homedir } from "node:os"
import { join, resolve } from "node:path"
import { promisify } from "node:util"

const root = resolve(import.meta.dirname, "../../..")
/** Programs that build a cluster without Docker, if they lie beside the repository. */
const workshop = resolve(root, "../shared/cluster")
const kindName = "reflow-test"

/** A real cluster for tests. */
export type FoundCluster = {
  /** Path of an admin's kubeconfig. */
  readonly kubeconfig: string
  /** Path of kubectl, or its bare name if it is in PATH. */
  readonly kubectl: string
  /** `given` by KUBECONFIG, made by `kind`, or `built` from source by the programs beside the repository. */
  readonly origin: "given" | "kind" | "built"
  /** Only for `built`: the folder with the programs `rootfs`, `image`, `load`, `crowd`. */
  readonly tools?: string
  /** Only for `built`: the API server's audit log. */
  readonly auditLog?: string
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

const output = async (command: string, args: readonly string[]): Promise<string | undefined> => {
  try {
    return (await promisify(execFile)(command, [...args], { timeout: 20_000 })).stdout
  } catch {
    return undefined
  }
}

/** Runs a command whose progress a person may want to see; resolves with its standard output. */
const shown = (command: string, args: readonly string[]): Promise<string> =>
  new Promise((done, fail) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] })
    let text = ""
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString()
    })
    child.on("error", fail)
    child.on("exit", (code) => (code === 0 ? done(text) : fail(new Error(`${command} ended with ${code}`))))
  })

const stateFolder = (): string => process.env.REFLOW_CLUSTER_DIR ?? join(homedir(), ".cache/reflow-cluster")

const built = (kubeconfig: string): FoundCluster => ({
  kubeconfig,
  kubectl: join(stateFolder(), "bin/kubectl"),
  origin: "built",
  tools: workshop,
  auditLog: join(stateFolder(), "log/audit.log"),
})

const fromEnvironment = async (): Promise<FoundCluster | undefined> => {
  const kubeconfig = process.env.KUBECONFIG
  if (kubeconfig === undefined || kubeconfig === "") return undefined
  if (!(await exists(kubeconfig))) throw new Error(`KUBECONFIG names ${kubeconfig}, which is not there`)
  if (resolve(kubeconfig) === join(stateFolder(), "admin.kubeconfig") && (await exists(workshop)))
    return built(kubeconfig)
  return { kubeconfig, kubectl: "kubectl", origin: "given" }
}

const fromKind = async (): Promise<FoundCluster | undefined> => {
  if ((await output("docker", ["info"])) === undefined) return undefined
  const clusters = await output("kind", ["get", "clusters"])
  if (clusters === undefined) return undefined
  if (!clusters.split("\n").includes(kindName))
    await shown("kind", ["create", "cluster", "--name", kindName, "--wait", "120s"])
  const kubeconfig = join(root, "dist/kind.kubeconfig")
  await mkdir(join(root, "dist"), { recursive: true })
  await writeFile(kubeconfig, await shown("kind", ["get", "kubeconfig", "--name", kindName]), { mode: 0o600 })
  return { kubeconfig, kubectl: "kubectl", origin: "kind" }
}

const fromWorkshop = async (): Promise<FoundCluster | undefined> => {
  if (!(await exists(join(workshop, "up")))) return undefined
  const lines = (await shown(join(workshop, "up"), [])).trim().split("\n")
  return built(lines.at(-1) ?? "")
}

/**
 * Finds a real cluster, and starts it if need be: `KUBECONFIG` if it is set, else kind if Docker runs, else the programs
 * beside the repository if they are there (six minutes the first time on a machine, then seconds). Undefined if there is none.
 */
export const findCluster = async (): Promise<FoundCluster | undefined> =>
  (await fromEnvironment()) ?? (await fromKind()) ?? (await fromWorkshop())

/** What a person reads when there is none. */
export const noCluster =
  "no Kubernetes cluster: set KUBECONFIG, or start Docker and install kind, to run the tests in test/kubernetes"
