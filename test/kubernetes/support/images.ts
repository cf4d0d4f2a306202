/**
 * The images that tests run, built from this repository and known to the cluster's node.
 *
 *   node test/kubernetes/support/images.ts    makes all of them known
 *
 * On the cluster that was built from source they are packed without Docker; for kind, Docker builds them. A cluster that
 * KUBECONFIG names must be able to pull them. They are made anew when what is in them has changed, and loaded when missing.
 */
import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises"
import { dirname, join, resolve } from "node:path"
import { promisify } from "node:util"
import { build } from "esbuild"
import type { PackageType } from "../../../src/api/kinds/package.ts"
import { type FoundCluster, findCluster, noCluster } from "./find-cluster.ts"
import { addRunner, runnerBase, runnerInputs } from "./runner-images.ts"

const root = resolve(import.meta.dirname, "../../..")
const store = join(root, "dist/images")
const node = join(root, "node_modules/node/bin/node")

type Image = {
  readonly name: string
  /** Source of the server that it runs on Node, bundled to the same path under /app; without one it is the program. */
  readonly server?: string
  /** Folder of a Go program that is the image's only file, `/server`: there is no libc. */
  readonly bare?: string
  /** Kind of packages that it installs and runs: it has programs of this machine for that, and nothing else. */
  readonly runner?: PackageType
  readonly env?: readonly string[]
  /** As an image names it, e.g. `65532` or `nonroot`; empty is root. */
  readonly user: string
}

const brought = "test/fixtures/images/server.mjs"
const nonroot = "65532"

/** Every image, by a short name. */
export const images = {
  gateway: { name: "ghcr.io/reflow/reflow-gateway:0.1.0", user: nonroot },
  notes: { name: "ghcr.io/reflow/example-notes:1.0.0", server: "examples/servers/notes.mjs", user: nonroot },
  dice: { name: "ghcr.io/reflow/example-dice:1.0.0", server: "examples/servers/dice.mjs", user: nonroot },
  dual: { name: "ghcr.io/reflow/example-dual:1.0.0", server: "test/fixtures/servers/dual.mjs", user: nonroot },
  conformance: {
    name: "ghcr.io/reflow/example-conformance:1.0.0",
    server: "test/fixtures/servers/conformance/server.mjs",
    user: nonroot,
  },
  stdio: { name: "ghcr.io/org/mcp-stdio:1.0.0", server: "test/fixtures/images/stdio.mjs", user: nonroot },
  bare: { name: "ghcr.io/org/mcp-bare:1.0.0", bare: "test/fixtures/images/bare", user: nonroot },
  github: { name: "ghcr.io/org/mcp-github:latest", server: brought, user: nonroot },
  root: { name: "ghcr.io/org/mcp-root:1.0.0", server: brought, user: "" },
  named: { name: "ghcr.io/org/mcp-named:1.0.0", server: brought, user: "nonroot" },
  notFound: { name: "ghcr.io/org/mcp-404:1.0.0", server: brought, user: nonroot, env: ["ROOT_STATUS=404"] },
  port80: { name: "ghcr.io/org/mcp-port80:1.0.0", server: brought, user: nonroot, env: ["LISTEN_PORT=80"] },
  slow: { name: "ghcr.io/org/mcp-slow:1.0.0", server: brought, user: nonroot, env: ["START_SECONDS=40"] },
  npm: { name: "ghcr.io/org/runner-npm:1.0.0", runner: "npm", user: nonroot },
  pypi: { name: "ghcr.io/org/runner-pypi:1.0.0", runner: "pypi", user: nonroot },
  home: { name: "ghcr.io/org/mcp-home:1.0.0", server: brought, user: nonroot, env: ["WRITES_HOME=1"] },
} as const satisfies Readonly<Record<string, Image>>

/** Short name of an image. */
export type ImageName = keyof typeof images

/** Runs a program; fails with what it said on standard error. */
const run = async (command: string, args: readonly string[], timeout = 300_000): Promise<string> =>
  (await promisify(execFile)(command, [...args], { cwd: root, timeout, maxBuffer: 64 * 2 ** 20 })).stdout

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

/** A server and its packages in one file; the same settings as in the Dockerfile. */
const bundle = async (source: string): Promise<Uint8Array> => {
  const options = { bundle: true, platform: "node", format: "esm", target: "node26", write: false } as const
  const { outputFiles } = await build({ absWorkingDir: root, entryPoints: [source], ...options })
  const [file] = outputFiles
  if (file === undefined) throw new Error(`esbuild made nothing of ${source}`)
  return file.contents
}

const digestOf = (inputs: readonly (string | Uint8Array)[]): string => {
  const hash = createHash("sha256")
  for (const input of inputs) hash.update(`${input.length}:`).update(input)
  return hash.digest("hex").slice(0, 16)
}

/** A static program, built from a folder of Go sources. */
const compile = async (source: string): Promise<Uint8Array> => {
  const output = join(store, `.bare-${process.pid}`)
  const environment = { ...process.env, CGO_ENABLED: "0", GOFLAGS: "-trimpath", GOTOOLCHAIN: "local" }
  const cwd = join(root, source)
  await promisify(execFile)("go", ["build", "-ldflags=-s -w", "-o", output, "."], { cwd, env: environment })
  try {
    return await readFile(output)
  } finally {
    await rm(output)
  }
}

/** Files of an image besides programs and libraries: paths in the image and their contents. */
const filesOf = async ({ server, bare }: Image): Promise<Readonly<Record<string, Uint8Array>>> => {
  if (bare !== undefined) return { server: await compile(bare) }
  return server === undefined ? {} : { [join("app", server)]: await bundle(server) }
}

const entrypoint = ({ server, bare, runner }: Image): string[] => {
  if (runner !== undefined) return [runner === "npm" ? "/usr/local/bin/node" : "/usr/local/bin/python3"]
  if (bare !== undefined) return ["/server"]
  return server === undefined ? ["/usr/local/bin/reflow"] : ["/usr/local/bin/node", join("/app", server)]
}

/** The folder /bridge of the gateway's image: the program with loader and libraries, and a link where it is run. */
const addBridge = async (rootfs: string): Promise<void> => {
  const [bridge, program] = [join(rootfs, "bridge"), join(rootfs, "usr/local/bin/reflow")]
  await cp(join(root, "dist/libraries"), bridge, { recursive: true })
  await rename(program, join(bridge, "reflow"))
  await symlink("/bridge/reflow", program)
}

/** The root file system of an image, without its own files. */
const addPrograms = async ({ server, bare, runner }: Image, rootfs: string, tools: string): Promise<void> => {
  if (runner !== undefined) return addRunner(runner, rootfs, tools)
  if (bare !== undefined) return
  await run(join(tools, "rootfs"), [rootfs, server === undefined ? join(root, "dist/reflow") : node])
  if (server === undefined) await addBridge(rootfs)
}

/** What an image is made from; two alike are the same image. */
const stampOf = async (image: Image, files: Readonly<Record<string, Uint8Array>>, tools: string): Promise<string> => {
  const program = entrypoint(image)[0]?.endsWith("reflow") ? "dist/reflow.stamp" : "node_modules/node/package.json"
  const sources = [join(root, program), join(tools, "rootfs"), join(tools, "image")]
  const read = await Promise.all(sources.map((path) => readFile(path)))
  const inputs = image.runner === undefined ? [] : await runnerInputs(image.runner)
  return digestOf([...read, ...inputs, JSON.stringify([image, Object.keys(files)]), ...Object.values(files)])
}

/** Packs an image into an archive, unless it is there; resolves with the archive's path. */
const pack = async (short: ImageName, tools: string): Promise<string> => {
  const image: Image = images[short]
  const files = await filesOf(image)
  const archive = join(store, `${short}-${await stampOf(image, files, tools)}.tar`)
  if (await exists(archive)) return archive
  const folder = await mkdtemp(join(store, ".making-"))
  try {
    const rootfs = join(folder, "rootfs")
    await addPrograms(image, rootfs, tools)
    for (const [path, contents] of Object.entries(files)) {
      await mkdir(dirname(join(rootfs, path)), { recursive: true })
      await writeFile(join(rootfs, path), contents, { mode: 0o755 })
    }
    const settings = ["--user", image.user, ...(image.env ?? []).flatMap((each) => ["--env", each])]
    const place = image.server === undefined ? [] : ["--workdir", "/app"]
    const output = join(folder, "image.tar")
    await run(join(tools, "image"), [...settings, ...place, image.name, rootfs, output, ...entrypoint(image)])
    const older = (await readdir(store)).filter((name) => name.startsWith(`${short}-`))
    await Promise.all(older.map((name) => rm(join(store, name), { force: true })))
    await rename(output, archive)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  return archive
}

/** Digest of the image in an archive. */
const archivedDigest = async (archive: string): Promise<string> => {
  const index = JSON.parse(await run("tar", ["-xOf", archive, "--occurrence=1", "index.json"]))
  return index.manifests[0].digest
}

/** Packs images and loads those that the node does not have. */
const loadBuilt = async (shorts: readonly ImageName[], { tools = "", kubectl }: FoundCluster): Promise<void> => {
  const socket = resolve(dirname(kubectl), "../run/containerd.sock")
  const known = await run("ctr", ["-a", socket, "-n", "k8s.io", "images", "ls"])
  const rows = known.split("\n").map((line) => line.split(/\s+/))
  for (const short of shorts) {
    const archive = await pack(short, tools)
    const digest = await archivedDigest(archive)
    if (rows.some(([name, , found]) => name === images[short].name && found === digest)) continue
    await run(join(tools, "load"), [archive])
  }
}

/** Builds an image with Docker: the shipped ones by their target of the Dockerfile, others from Node's own image. */
const dockerBuild = async (short: ImageName, folder: string): Promise<void> => {
  const image: Image = images[short]
  if (image.bare !== undefined) {
    for (const [path, contents] of Object.entries(await filesOf(image)))
      await writeFile(join(folder, path), contents, { mode: 0o755 })
    await writeFile(
      join(folder, "Dockerfile"),
      `FROM scratch\nCOPY server /server\nUSER 65532\nENTRYPOINT ["/server"]\n`,
    )
    await run("docker", ["build", "--quiet", "--tag", image.name, folder], 900_000)
    return
  }
  if (image.runner !== undefined) {
    await writeFile(join(folder, "Dockerfile"), `FROM ${runnerBase[image.runner]}\nUSER ${image.user}\n`)
    await run("docker", ["build", "--quiet", "--tag", image.name, folder], 900_000)
    return
  }
  const target = { gateway: "gateway", notes: "example-notes", dice: "example-dice" }[short as string]
  if (target !== undefined) {
    await run("docker", ["build", "--quiet", "--target", target, "--tag", image.name, root], 900_000)
    return
  }
  for (const [path, contents] of Object.entries(await filesOf(image))) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), contents)
  }
  await cp(node, join(folder, "node"))
  const lines = [
    "FROM node:26-bookworm-slim",
    "RUN groupadd --gid 65532 nonroot && useradd --uid 65532 --gid 65532 nonroot",
    "COPY node /usr/local/bin/node",
    "COPY app /app",
    "WORKDIR /app",
    ...(image.env ?? []).map((each) => `ENV ${each}`),
    ...(image.user === "" ? [] : [`USER ${image.user}`]),
    `ENTRYPOINT ${JSON.stringify(entrypoint(image))}`,
  ]
  await writeFile(join(folder, "Dockerfile"), lines.join("\n"))
  await run("docker", ["build", "--quiet", "--tag", image.name, folder], 900_000)
}

/** Builds images with Docker and gives them to kind, which leaves out what its node has. */
const loadKind = async (shorts: readonly ImageName[]): Promise<void> => {
  for (const short of shorts) {
    const folder = await mkdtemp(join(store, ".making-"))
    try {
      await dockerBuild(short, folder)
      await run("kind", ["load", "docker-image", "--name", "reflow-test", images[short].name])
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }
}

/** Makes images known to the cluster's node. A cluster that was given must be able to pull them: nothing is done. */
export const ensureImages = async (shorts: readonly ImageName[], cluster: FoundCluster): Promise<void> => {
  await mkdir(store, { recursive: true })
  if (cluster.origin === "given") return
  if (cluster.origin === "kind") return loadKind(shorts)
  if (shorts.includes("gateway")) await run(process.execPath, ["build.config.ts", "executable"])
  if (shorts.includes("gateway")) await run(process.execPath, ["build.config.ts", "libraries"])
  await loadBuilt(shorts, cluster)
}

/** Makes all images known to the cluster's node. */
export const ensureAllImages = (cluster: FoundCluster): Promise<void> =>
  ensureImages(Object.keys(images) as ImageName[], cluster)

if (import.meta.main) {
  const cluster = await findCluster()
  if (cluster === undefined) throw new Error(noCluster)
  await ensureAllImages(cluster)
}
