import { realpathSync } from "node:fs"
import { delimiter, join } from "node:path"
import type { PackageType } from "../api/kinds/package.ts"
import type { Environment } from "./environment.ts"
import { type Failure, failure } from "./order.ts"
import { type Runner, run } from "./run.ts"

/** What runs the packages of a registry. */
export type Runtime = {
  /** Platform, architecture and ABI, e.g. `linux-x64-node-137`: code that was compiled for one runs on no other. */
  readonly name: string
  /** The interpreter's absolute path. */
  readonly path: string
}

/** The programs that a type of package needs on the PATH. */
export const programs = {
  npm: { interpreter: "node", manager: "npm" },
  pypi: { interpreter: "python3", manager: "uv" },
} as const

const nodeQuestion =
  "const { platform, arch, versions, execPath } = process; JSON.stringify([platform, arch, `node-${versions.modules}`, execPath])"

// -I: neither variables nor the working folder have a say
const pythonQuestion = `import json, sys, sysconfig
tag = (sys.implementation.cache_tag or sys.implementation.name) + getattr(sys, "abiflags", "")
print(json.dumps([sysconfig.get_platform(), tag, sys.executable]))`

const questions: Readonly<Record<PackageType, readonly string[]>> = {
  npm: ["--print", nodeQuestion],
  pypi: ["-I", "-c", pythonQuestion],
}

/** What an interpreter says of itself; undefined if it is nothing that could name a folder. */
export const readRuntime = (answer: string): Runtime | undefined => {
  try {
    const parts: unknown = JSON.parse(answer)
    if (!Array.isArray(parts) || !parts.every((part) => typeof part === "string")) return undefined
    const path = parts.at(-1) ?? ""
    const name = parts.slice(0, -1).join("-")
    return path !== "" && /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(name) ? { name, path } : undefined
  } catch {
    return undefined
  }
}

/** What to do where a program is missing. */
export const missing = (type: PackageType, program: string): Failure =>
  failure(
    `${program} is not on the PATH. Use an image that has ${programs[type].interpreter} and ${programs[type].manager} (kubernetes.packages.${type}.image); on this machine, install ${program}.`,
  )

/** True if `node` on the PATH is the program that runs this. To start another one takes 50 ms. */
const isOwnNode = ({ PATH = "" }: Environment): boolean => {
  for (const folder of PATH.split(delimiter)) {
    try {
      return realpathSync(join(folder, "node")) === realpathSync(process.execPath)
    } catch {
      // it is in none of the folders up to here
    }
  }
  return false
}

const ownRuntime = (): Runtime => {
  const { platform, arch, versions, execPath } = process
  return { name: `${platform}-${arch}-node-${versions.modules}`, path: execPath }
}

/** Asks the interpreter on the PATH what it is. */
export const findRuntime = async (
  type: PackageType,
  folder: string,
  environment: Environment,
  runner: Runner,
): Promise<Runtime | Failure> => {
  if (type === "npm" && isOwnNode(environment)) return ownRuntime()
  const program = programs[type].interpreter
  const { code, refused, answer, lines } = await run(
    { program, args: questions[type], folder, environment },
    runner,
    true,
  )
  if (refused === "ENOENT") return missing(type, program)
  return (
    readRuntime(answer) ??
    failure(`${program} does not run here: ${refused || `exit code ${code}`}. Use an image that has it.`, lines)
  )
}
