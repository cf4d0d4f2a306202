/** Commands as documentation has them, run as they stand. */

import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { dirname, isAbsolute } from "node:path"
import { promisify } from "node:util"
import { repositoryFile } from "../../support/reflow.ts"
import { cluster } from "./cluster.ts"
import { helmProgram } from "./helm.ts"

/** The block that stands behind `<!-- test: NAME -->` in a page. */
export const blockOf = (page: string, name: string): string => {
  const text = readFileSync(repositoryFile(page), "utf8")
  const [, after = ""] = text.split(`<!-- test: ${name} -->\n`)
  const [, block = ""] = /^```\w+\n([\s\S]*?)^```/m.exec(after) ?? []
  if (block === "") throw new Error(`${page} has no block '${name}'`)
  return block
}

/** Runs a shell's text in the repository, with this run's kubectl, Helm and cluster; fails with what it said. */
export const runCommands = async (text: string, timeout = 300_000): Promise<string> => {
  const folders = [helmProgram, cluster.kubectl].filter((path) => isAbsolute(path)).map((path) => dirname(path))
  const env = { ...process.env, KUBECONFIG: cluster.kubeconfig, PATH: [...folders, process.env.PATH].join(":") }
  return (await promisify(execFile)("sh", ["-e", "-c", text], { cwd: repositoryFile("."), env, timeout })).stdout
}
