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

/** State and process group (proc(5): in stat the first and third field behind the name), of a living process only. */
const livingGroup = (name: string): number | undefined => {
  const stat = read(`/proc/${name}/stat`)
  const [state = "", , group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return state === "" || state === "Z" || state === "X" ? undefined : Number(group)
}

/**
 * A file of a process that lives. While a process replaces its program its files are empty, measured in 4% of the reads
 * after a shell's `exec`; so an empty one of a living process is read again. Threads of the kernel have the group 0.
 */
const readSettled = (name: string, file: string): string => {
  let text = read(`/proc/${name}/${file}`)
  for (let tries = 0; text === "" && tries < 1_000 && (livingGroup(name) ?? 0) > 0; tries++)
    text = read(`/proc/${name}/${file}`)
  return text
}

const processNames = (): string[] => readdirSync("/proc").filter((name) => /^\d+$/.test(name))

const toInfo = (name: string): ProcessInfo => ({
  pid: Number(name),
  command: readSettled(name, "cmdline").split("\0").slice(0, -1),
  environment: toEnvironment(readSettled(name, "environ")),
})

/** Living processes whose command line contains `text` as one whole argument. Zombies do not count. */
export const processesRunning = (text: string): ProcessInfo[] =>
  processNames()
    .filter((name) => readSettled(name, "cmdline").split("\0").includes(text))
    .map(toInfo)

/** Living processes that were started with this variable, which they inherit from one another. Zombies do not count. */
export const processesWith = (name: string, value: string): ProcessInfo[] =>
  processNames()
    .filter((each) => readSettled(each, "environ").split("\0").includes(`${name}=${value}`))
    .map(toInfo)

/** Living processes of the group that `leader` began. Zombies do not count. */
export const processesOfGroup = (leader: number): ProcessInfo[] =>
  processNames()
    .filter((name) => livingGroup(name) === leader)
    .map(toInfo)
    // one that just ends has no memory any more, a moment before it is a zombie
    .filter(({ command }) => command.length > 0)

/** Resolves once `holds` is true; fails after `ms`. For states of the machine that send no event. */
export const eventually = async (holds: () => boolean | Promise<boolean>, ms: number, what: string): Promise<void> => {
  const end = Date.now() + ms
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
