import { readFileSync } from "node:fs"
import { repositoryFile } from "./reflow.ts"

const page = readFileSync(repositoryFile("docs/clients.md"), "utf8")

/** A code block of docs/clients.md. */
export type ClientBlock = { readonly language: string; readonly text: string }

/** The blocks of docs/clients.md, by the name in the comment `client: NAME` before each. */
export const clientBlocks: ReadonlyMap<string, ClientBlock> = new Map(
  [...page.matchAll(/<!-- client: ([\w-]+) -->\n```(\w+)\n([\s\S]*?)```/g)].map(
    ([, name = "", language = "", text = ""]) => [name, { language, text }],
  ),
)

/** How many code blocks the page has, named or not. */
export const clientFences = (page.match(/^```\w+$/gm) ?? []).length

/** Text of a block. Throws if the page has none of this name. */
export const clientBlock = (name: string): string => {
  const block = clientBlocks.get(name)
  if (block === undefined) throw new Error(`docs/clients.md has no block '${name}'`)
  return block.text
}

/** What a client is told of a server. */
export type Connection = { readonly url: string; readonly headers: Readonly<Record<string, string>> }

type Tree = { [key: string]: unknown }

/** The little of TOML that the page needs: tables, and keys whose values JSON can write. Throws at anything else. */
export const parseToml = (text: string): Tree => {
  const root: Tree = {}
  let table = root
  for (const line of text.split("\n").filter((each) => each !== "")) {
    const heading = /^\[([\w.]+)\]$/.exec(line)?.[1]
    const [, key, value] = /^(\w+) = (.+)$/.exec(line) ?? []
    if (heading !== undefined) {
      table = root
      for (const part of heading.split(".")) {
        table[part] ??= {}
        table = table[part] as Tree
      }
    } else if (key !== undefined && value !== undefined) table[key] = JSON.parse(value)
    else throw new Error(`no TOML that this test can read: ${line}`)
  }
  return root
}

/** Puts variables in, as clients do: `${NAME}`, `${env:NAME}`, `${input:NAME}`. Throws for one that nobody sets. */
const filled = (text: string, variables: Readonly<Record<string, string>>): string =>
  text.replaceAll(/\$\{(?:env:|input:)?(\w+)\}/g, (_all, name: string) => {
    const value = variables[name]
    if (value === undefined) throw new Error(`nobody sets ${name}`)
    return value
  })

const toConnection = (server: Tree, variables: Readonly<Record<string, string>>): Connection => ({
  url: server.url as string,
  headers: Object.fromEntries(
    Object.entries(server.headers as Record<string, string>).map(([name, value]) => [name, filled(value, variables)]),
  ),
})

/** What VS Code asks its user for. */
const inputsOf = ({ inputs }: Tree, token: string): Record<string, string> =>
  Object.fromEntries((inputs as { id: string }[]).map(({ id }) => [id, token]))

/** The header that a command line names after `--header`, as mcp-remote and Claude Code read it. */
const headerOf = (args: readonly string[]): Record<string, string> => {
  const text = args[args.indexOf("--header") + 1] ?? ""
  const at = text.indexOf(":")
  return { [text.slice(0, at)]: text.slice(at + 1).trim() }
}

const urlOf = (args: readonly string[]): string => args.find((each) => each.startsWith("http://")) ?? ""

type Server = { readonly args: string[]; readonly env: Record<string, string> }

/** What each client makes of its configuration on the page, for the user of this token. */
export const documentedConnections = {
  "claude-code-project": (text: string, token: string) =>
    toConnection(JSON.parse(text).mcpServers.notes, { ALICE: token }),
  vscode: (text: string, token: string) => {
    const file = JSON.parse(text)
    return toConnection(file.servers.notes, inputsOf(file, token))
  },
  cursor: (text: string, token: string) => toConnection(JSON.parse(text).mcpServers.notes, { ALICE: token }),
  codex: (text: string, token: string) => {
    const { notes } = parseToml(text).mcp_servers as Record<string, Tree>
    const variables: Record<string, string> = { ALICE: token }
    return {
      url: notes?.url as string,
      headers: { Authorization: `Bearer ${variables[notes?.bearer_token_env_var as string]}` },
    }
  },
  "mcp-remote": (text: string, token: string) => {
    const { args, env } = JSON.parse(text).mcpServers.notes as Server
    const variables = { ...env, AUTH_HEADER: (env.AUTH_HEADER ?? "").replace("ALICE", token) }
    const filledArgs = args.map((each) => filled(each, variables))
    return { url: urlOf(filledArgs), headers: headerOf(filledArgs) }
  },
} satisfies Record<string, (text: string, token: string) => Connection>

/** What a client's command line of the page says, as the client gets it. */
export const connectionOf = (args: readonly string[]): Connection => ({ url: urlOf(args), headers: headerOf(args) })
