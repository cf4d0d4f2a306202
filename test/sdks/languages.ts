import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"

/** Languages besides TypeScript whose SDKs are tried. */
export const languages = ["python", "go", "java"] as const
export type Language = (typeof languages)[number]

/** A language that cannot be tried, and why. */
export type Missing = { readonly language: Language; readonly why: string; readonly installed: boolean }

const here = import.meta.dirname
const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "reflow-gateway", "sdks")

/** Where a language's SDKs are, once they are installed. */
export const folderOf = (language: Language): string => join(cache, language)

type Run = { readonly ok: boolean; readonly output: string }

const run = (command: string, args: readonly string[], cwd: string = here): Promise<Run> =>
  new Promise((done) => {
    const child = spawn(command, args, { cwd, stdio: ["ignore", "pipe", "pipe"], timeout: 600_000 })
    let output = ""
    child.stdout.on("data", (chunk) => (output += chunk))
    child.stderr.on("data", (chunk) => (output += chunk))
    child.on("error", (error) => done({ ok: false, output: error.message }))
    child.on("close", (code) => done({ ok: code === 0, output }))
  })

/** One step of an installation; throws with the end of what it printed. */
const must = async (command: string, args: readonly string[], cwd?: string): Promise<void> => {
  const { ok, output } = await run(command, args, cwd)
  if (!ok) throw new Error(`${command} ${args.join(" ")}: ${output.trim().slice(-2_000)}`)
}

type Recipe = {
  /** What a machine must have: commands that print a version of at least this. */
  readonly needs: readonly { readonly command: readonly string[]; readonly version: readonly [number, number] }[]
  /** Files of the language's folder whose change makes it be installed anew. */
  readonly madeFrom: RegExp
  readonly install: (source: string, into: string) => Promise<unknown>
}

/** Virtual environments of Python, each with the packages of the list of its name. */
const environments = ["v1", "v2", "stdio"]

const installPython = async (source: string, into: string): Promise<void> => {
  for (const name of environments) await must("python3", ["-m", "venv", join(into, name)])
  const pip = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--retries", "2", "-r"]
  await Promise.all(
    environments.map((name) => must(join(into, name, "bin/python"), [...pip, join(source, `${name}.txt`)])),
  )
}

const installJava = async (source: string, into: string): Promise<void> => {
  const jars = `-DoutputDirectory=${join(into, "lib")}`
  const pom = join(source, "pom.xml")
  await must("mvn", ["-q", "-B", "-f", pom, "dependency:copy-dependencies", "-DincludeScope=runtime", jars])
  const files = ["Client.java", "Server.java"].map((name) => join(source, name))
  await must("javac", ["-nowarn", "-d", join(into, "classes"), "-cp", join(into, "lib/*"), ...files])
}

const recipes: Readonly<Record<Language, Recipe>> = {
  python: {
    needs: [
      { command: ["python3", "--version"], version: [3, 10] },
      { command: ["python3", "-c", "import ensurepip; print(ensurepip.version())"], version: [1, 0] },
    ],
    madeFrom: /\.txt$/,
    install: installPython,
  },
  go: {
    needs: [{ command: ["go", "env", "GOVERSION"], version: [1, 25] }],
    madeFrom: /\.(go|mod|sum)$/,
    install: (source, into) => must("go", ["build", "-o", `${into}/`, "./..."], source),
  },
  java: {
    needs: [
      { command: ["javac", "-version"], version: [17, 0] },
      { command: ["mvn", "-v"], version: [3, 6] },
    ],
    madeFrom: /\.(java|xml)$/,
    install: installJava,
  },
}

/** What the machine lacks for a language; undefined = nothing. */
const lack = async ({ needs }: Recipe): Promise<string | undefined> => {
  for (const { command, version } of needs) {
    const [file = "", ...args] = command
    const { ok, output } = await run(file, args)
    if (!ok) return `${command.join(" ")} does not run: ${output.trim().slice(0, 200)}`
    const [, major, minor] = /(\d+)\.(\d+)/.exec(output) ?? []
    const isOlder = Number(major) < version[0] || (Number(major) === version[0] && Number(minor) < version[1])
    if (major === undefined || isOlder) return `${version.join(".")} or newer is needed, but: ${output.slice(0, 60)}`
  }
  return undefined
}

const stampOf = (source: string, madeFrom: RegExp): string => {
  const names = readdirSync(source, { recursive: true, encoding: "utf8" }).filter((name) => madeFrom.test(name))
  const hash = createHash("sha256")
  for (const name of names.sort()) hash.update(`${name}\n`).update(readFileSync(join(source, name)))
  return hash.digest("hex")
}

/**
 * Makes a language's SDKs ready in the cache folder, in the versions that its lock file names, unless they are. Resolves with
 * what is missing if the machine lacks the language, or if they cannot be installed.
 */
export const prepare = async (language: Language): Promise<Missing | undefined> => {
  const recipe = recipes[language]
  const why = await lack(recipe)
  if (why !== undefined) return { language, why, installed: false }
  const [source, into] = [join(here, language), folderOf(language)]
  const [stamp, wanted] = [join(into, "stamp"), stampOf(source, recipe.madeFrom)]
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return undefined
  rmSync(into, { recursive: true, force: true })
  mkdirSync(into, { recursive: true })
  try {
    await recipe.install(source, into)
  } catch (error) {
    return { language, why: `its SDKs cannot be installed: ${(error as Error).message}`, installed: true }
  }
  writeFileSync(stamp, wanted)
  return undefined
}
