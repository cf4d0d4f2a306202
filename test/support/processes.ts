import { readdirSync, readFileSync } from "node:fs"

/** A process of this machine as Linux' /proc shows it. */
export type ProcessInfo = {
  readonly pid: number
  readonly command: readonly string[]
  readonly environment: ReadonlyMap<string, string>
}

const read = (path: string): string => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    return ""
  }
}

const toEnvironment = (text: string): Map<string, string> =>
  new Map(
    text.split("\0").flatMap((entry): [string, string][] => {
      const cut = entry.indexOf("=")
      return cut > 0 ? [[entry.slice(0, cut), entry.slice(cut + 1)]] : []
    }),
  )

const processesWhere = (fits: (command: readonly string[], environment: () => string) => boolean): ProcessInfo[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const command = read(`/proc/${name}/cmdline`).split("\0").slice(0, -1)
      const environment = () => read(`/proc/${name}/environ`)
      return fits(command, environment)
        ? [{ pid: Number(name), command, environment: toEnvironment(environment()) }]
        : []
    })

/** Living processes whose command line contains `text` as one whole argument. Zombies do not count. */
export const processesRunning = (text: string): ProcessInfo[] => processesWhere((command) => command.includes(text))

/** Living processes that were started with this variable, which they inherit from one another. Zombies do not count. */
export const processesWith = (name: string, value: string): ProcessInfo[] =>
  processesWhere((_, environment) => environment().split("\0").includes(`${name}=${value}`))

/** Living processes of the group that `leader` began (proc(5): in stat the third field behind the name). Zombies do not count. */
export const processesOfGroup = (leader: number): ProcessInfo[] => {
  const groupOf = (pid: number): string | undefined => {
    const stat = read(`/proc/${pid}/stat`)
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[2]
  }
  return processesWhere((command) => command.length > 0).filter(({ pid }) => groupOf(pid) === String(leader))
}

/** Resolves once `holds` is true; fails after `ms`. For states of the machine that send no event. */
export const eventually = async (holds: () => boolean | Promise<boolean>, ms: number, what: string): Promise<void> => {
  const end = Date.now() + ms
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
