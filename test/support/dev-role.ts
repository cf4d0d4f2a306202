import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { parseCommand } from "../../src/cli/flags.ts"
import { loadConfig } from "../../src/config/load.ts"
import { type DevOptions, startDev } from "../../src/roles/dev/dev.ts"
import type { RunningRole } from "../../src/roles/role.ts"
import { repositoryFile } from "./reflow.ts"

/** What a test says of the role dev that it starts in this process. */
export type DevRoleInput = {
  /** Folder of the test: `targets.yaml` and `state` are in it. */
  readonly folder: string
  /** YAML of the targets; undefined = the file is not there. */
  readonly targets: string | undefined
  /** `KEY=VALUE` of the configuration. */
  readonly set?: readonly string[]
  readonly options?: Partial<DevOptions>
}

/** A role dev in this process, and what it has written so far. */
export type DevRole = {
  readonly role: RunningRole<{ readonly url: string }>
  readonly out: { printed: string; logged: string }
}

/** Starts the role dev in this process, on a free port. */
export const startDevRole = ({ folder, targets, set = [], options = {} }: DevRoleInput): DevRole => {
  const path = join(folder, "targets.yaml")
  if (targets !== undefined) writeFileSync(path, targets)
  const out = { printed: "", logged: "" }
  const settings = ["gateway.listen=127.0.0.1:0", `dev.state_dir=${join(folder, "state")}`, "log.format=json", ...set]
  const flags = settings.flatMap((each) => ["--set", each])
  const command = parseCommand(["--role", "dev", "--targets", path, ...flags])
  if (command.kind !== "run") throw new Error("not a run")
  const { config } = loadConfig({ settings: command.settings, role: "dev", environment: {} })
  const role = startDev({
    config,
    environment: process.env,
    workingDirectory: repositoryFile("."),
    platform: process.platform,
    stdout: { write: (text) => (out.printed += text) },
    stderr: { write: (text) => (out.logged += text) },
    ...options,
  })
  return { role, out }
}

/** The token of the banner for one of its users. */
export const bannerToken = (printed: string, who: string): string =>
  new RegExp(`^ {2}${who} +(\\S+)$`, "m").exec(printed)?.[1] ?? ""
