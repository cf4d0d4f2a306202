import { posix } from "node:path"
import ts from "typescript"

/** A part of src/ (its first folder, or a file that stands for itself) or plugins/. */
type Room = string

/** Which rooms a room may import besides itself. `types` of the configuration's schema are free for every room. */
export const directions: Readonly<Record<Room, readonly Room[]>> = {
  errors: [],
  version: [],
  api: [],
  ports: ["api"],
  // What gateway and operator agree on in the cluster's objects.
  signals: ["api"],
  // Waiting, bounded by signals; whoever waits uses it.
  waiting: [],
  // What both know of the cluster: its watch caches, corrected by answers.
  cache: ["ports", "api"],
  // Which connections may go out to hosts that somebody else names; whoever dials such a host gets it passed in.
  outgoing: ["waiting", "ports", "api"],
  config: ["api"],
  cli: ["config", "api"],
  // How foreign text is taken in: parsed strictly, counted and bounded, whichever room reads it.
  intake: ["waiting"],
  // What MCP says on the wire, for gateway and admin alike.
  mcp: ["intake", "api"],
  // What stands before a server of stdin and stdout: a program of its own, in the same executable.
  bridge: ["mcp", "intake", "api"],
  // What puts a published package beside its server: a program of its own, which is the only one to run npm and uv.
  install: ["api"],
  identity: ["intake", "ports", "api", "plugin/contract"],
  credentials: ["waiting", "intake", "ports", "api", "plugin/contract"],
  operator: ["waiting", "signals", "cache", "ports", "api", "plugin/contract"],
  election: ["waiting", "ports", "api"],
  // What the gateway asks of placement, and nothing else of it.
  "placement/port": ["waiting", "identity", "api"],
  placement: ["placement/port", "waiting", "signals", "cache", "intake", "identity", "credentials", "ports", "api"],
  gateway: ["placement/port", "mcp", "waiting", "signals", "intake", "identity", "ports", "api"],
  admin: ["mcp", "signals", "intake", "identity", "credentials", "ports", "api"],
  // The public port, in front of gateway and REST API.
  door: ["gateway", "identity", "ports", "api"],
  "plugin/contract": ["ports", "api"],
  plugin: ["plugin/contract", "intake", "ports", "api"],
  // The list of those that come with the program.
  "plugin/builtin": ["plugins"],
  plugins: ["plugin/contract"],
  // What both clusters share, the reflector and its copy, stands in src/adapters itself; adapters do not know each other.
  adapters: ["waiting", "ports", "api"],
  "adapters/kube": ["adapters", "waiting", "ports", "api"],
  "adapters/memory": ["adapters", "waiting", "ports", "api"],
  "adapters/process": ["waiting", "ports", "api"],
  "adapters/system": ["ports", "api"],
  telemetry: ["ports", "api"],
  roles: [
    "config",
    "cli",
    "door",
    "gateway",
    "placement",
    "placement/port",
    "admin",
    "operator",
    "election",
    "plugin",
    "plugin/contract",
    "plugin/builtin",
    "adapters/kube",
    "adapters/memory",
    "adapters/process",
    "adapters/system",
    "telemetry",
    "outgoing",
    // A composition root builds what it hands over, so it names what the rooms above may name.
    "waiting",
    "signals",
    "intake",
    "identity",
    "credentials",
    "ports",
    "api",
  ],
  // Besides the roles: what it needs before a role is there, to read the configuration and to tell of an early end.
  main: ["bridge", "install", "roles", "cli", "config", "telemetry", "ports"],
  // The main of the single executable, which runs the program, the bridge or the installer.
  executable: ["bridge", "install"],
  // The second entry: writes crd/, rbac/ and what the chart takes of them, is no part of the program.
  generate: ["adapters/kube", "api", "config"],
}

/** Rooms that every other one may import. */
const ground: readonly Room[] = ["errors", "version"]

/** Where each library may be imported; a name that ends with `/` means the folder. What is not listed may not be used. */
export const doors: Readonly<Record<string, readonly string[]>> = {
  "@kubernetes/client-node": ["src/adapters/kube/"],
  // h3's default entry has no Node request under Deno; this one has.
  "h3/node": ["src/door/front-door.ts", "src/admin/", "src/roles/"],
  jose: ["src/identity/"],
  "node:sea": ["src/plugin/load.ts", "src/roles/bridge-program.ts", "src/executable.ts"],
  "prom-client": ["src/telemetry/"],
  undici: ["src/gateway/wire/", "src/adapters/kube/", "src/outgoing/"],
  yaml: ["src/config/", "src/roles/", "src/generate.ts"],
  zod: [
    "src/api/",
    "src/config/",
    "src/plugin/",
    "src/admin/",
    "src/mcp/",
    "src/gateway/",
    "src/generate/",
    "plugins/",
  ],
}

/** Where Node's request and response may be seen: whatever is behind the door works with plain facts, body sources and sinks. */
const exchangeNames: readonly string[] = ["IncomingMessage", "ServerResponse"]
const exchangePlaces: readonly string[] = [
  "src/door/",
  "src/gateway/gateway.ts",
  "src/roles/listen/",
  "src/bridge/http/",
]

/** Where globals that differ between machines and runtimes may be read. */
export const globals: Readonly<Record<string, readonly string[]>> = {
  "process.env": ["src/config/load.ts", "src/bridge/main.ts", "src/install/main.ts", "plugins/env.ts"],
  Deno: ["src/plugin/load.ts"],
}

/** Files of the plugin API: what a plugin may import. */
const contract = ["src/plugin/contract.ts", "src/plugin/standard-schema.ts"]

/** Most lines of a file. */
export const longestFile = 300

/** Source texts by path from the repository's root, with forward slashes. */
export type Sources = ReadonlyMap<string, string>

type Import = {
  readonly specifier: string
  readonly typeOnly: boolean
  /** The names that are imported one by one. */
  readonly names: readonly string[]
}

type Facts = {
  readonly imports: readonly Import[]
  /** Import or import() with a specifier that no reader can know. */
  readonly computed: boolean
  readonly globals: readonly string[]
  /** True if every statement hands on what another file exports. */
  readonly barrel: boolean
  readonly lines: number
}

/** `import { type X } from` is not: what is left of it at run time is `import`, for its effects. */
const isTypeOnly = (node: ts.ImportDeclaration | ts.ExportDeclaration): boolean =>
  ts.isExportDeclaration(node) ? node.isTypeOnly : node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword

const isCallOf = (node: ts.CallExpression, name: string): boolean =>
  node.expression.getText().replace(/^(globalThis|module|process)\./, "") === name

/** The text of a module's name, undefined if it is computed. */
const literal = (node: ts.Node | undefined): string | undefined =>
  node !== undefined && ts.isStringLiteralLike(node) ? node.text : undefined

const namesOf = (node: ts.ImportDeclaration | ts.ExportDeclaration): readonly string[] => {
  const list = ts.isExportDeclaration(node) ? node.exportClause : node.importClause?.namedBindings
  if (list === undefined || !(ts.isNamedImports(list) || ts.isNamedExports(list))) return []
  return list.elements.map(({ propertyName, name }) => (propertyName ?? name).text)
}

/** What `node` loads: a list of one, or undefined if it loads nothing. */
const loads = (
  node: ts.Node,
): { specifier: string | undefined; typeOnly: boolean; names?: readonly string[] } | undefined => {
  if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier)
    return { specifier: literal(node.moduleSpecifier), typeOnly: isTypeOnly(node), names: namesOf(node) }
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument))
    return {
      specifier: literal(node.argument.literal),
      typeOnly: true,
      names: node.qualifier === undefined ? [] : [node.qualifier.getText()],
    }
  if (!ts.isCallExpression(node)) return undefined
  const dynamic =
    node.expression.kind === ts.SyntaxKind.ImportKeyword ||
    isCallOf(node, "require") ||
    isCallOf(node, "getBuiltinModule")
  return dynamic ? { specifier: literal(node.arguments[0]), typeOnly: false } : undefined
}

const isProcess = (text: string): boolean => text === "process" || text === "globalThis.process"

/** The global of {@link globals} that `node` reads. */
const globalOf = (node: ts.Node): string | undefined => {
  if (ts.isIdentifier(node) && node.text === "Deno") return "Deno"
  if (ts.isPropertyAccessExpression(node))
    return node.name.text === "env" && isProcess(node.expression.getText()) ? "process.env" : undefined
  if (ts.isElementAccessExpression(node))
    return literal(node.argumentExpression) === "env" && isProcess(node.expression.getText())
      ? "process.env"
      : undefined
  if (ts.isVariableDeclaration(node) && node.initializer && isProcess(node.initializer.getText()))
    return /\benv\b/.test(node.name.getText()) ? "process.env" : undefined
  if (ts.isImportSpecifier(node)) {
    const from = literal(node.parent.parent.parent.moduleSpecifier)?.replace(/^node:/, "")
    return from === "process" && (node.propertyName ?? node.name).text === "env" ? "process.env" : undefined
  }
  return undefined
}

const isReexport = (statement: ts.Statement): boolean =>
  ts.isExportDeclaration(statement) && statement.moduleSpecifier !== undefined

const readFacts = (path: string, text: string): Facts => {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
  const imports: Import[] = []
  const read = new Set<string>()
  let computed = false
  const visit = (node: ts.Node): void => {
    const loaded = loads(node)
    if (loaded?.specifier !== undefined)
      imports.push({ specifier: loaded.specifier, typeOnly: loaded.typeOnly, names: loaded.names ?? [] })
    else if (loaded !== undefined) computed = true
    const found = globalOf(node)
    if (found !== undefined) read.add(found)
    ts.forEachChild(node, visit)
  }
  visit(file)
  const barrel = file.statements.length > 0 && file.statements.every(isReexport)
  const lines = text.endsWith("\n") ? text.split("\n").length - 1 : text.split("\n").length
  return { imports, computed, globals: [...read], barrel, lines }
}

const roomOf = (path: string): Room => {
  if (contract.includes(path)) return "plugin/contract"
  if (path === "src/plugin/builtin.ts") return "plugin/builtin"
  if (path === "src/placement/port.ts") return "placement/port"
  const [top, second = "", third, ...rest] = path.split("/")
  if (top === "plugins") return "plugins"
  if (third === undefined) return second.replace(/\.ts$/, "")
  return second === "adapters" && rest.length > 0 ? `adapters/${third}` : second
}

const stands = (path: string, places: readonly string[]): boolean =>
  places.some((place) => (place.endsWith("/") ? path.startsWith(place) : path === place))

const checkNeighbour = (from: string, to: string, typeOnly: boolean): string | undefined => {
  if (to === "package.json") return from === "src/version.ts" ? undefined : "only src/version.ts reads package.json"
  const [room, other] = [roomOf(from), roomOf(to)]
  const allowed = directions[room]
  if (allowed === undefined) return `the room '${room}' is not in the list of directions`
  if (room === other || ground.includes(other) || allowed.includes(other)) return undefined
  if (to === "src/config/schema.ts") return typeOnly ? undefined : "only types may come from the configuration's schema"
  return `${room} may not import ${other}`
}

const checkLibrary = (from: string, specifier: string): string | undefined => {
  const places = doors[specifier]
  if (places !== undefined) return stands(from, places) ? undefined : `its door is ${places.join(", ")}`
  return specifier.startsWith("node:") ? undefined : "no room has a door for this library"
}

const checkExchange = (path: string, { imports }: Facts): string[] =>
  imports.flatMap(({ specifier, names }) =>
    specifier === "node:http" && names.some((name) => exchangeNames.includes(name)) && !stands(path, exchangePlaces)
      ? [`${path} sees Node's request or response: only ${exchangePlaces.join(", ")} may`]
      : [],
  )

const checkImports = (path: string, { imports }: Facts): string[] =>
  imports.flatMap(({ specifier, typeOnly }) => {
    const problem = specifier.startsWith(".")
      ? checkNeighbour(path, posix.join(posix.dirname(path), specifier), typeOnly)
      : checkLibrary(path, specifier)
    return problem === undefined ? [] : [`${path} imports ${specifier}: ${problem}`]
  })

const checkFile = (path: string, facts: Facts): string[] => {
  const problems = [...checkImports(path, facts), ...checkExchange(path, facts)]
  for (const name of facts.globals)
    if (!stands(path, globals[name] ?? [])) problems.push(`${path} reads ${name}: its door is ${globals[name]}`)
  if (facts.computed && !stands(path, ["src/plugin/load.ts"]))
    problems.push(`${path} imports a computed name: only src/plugin/load.ts may`)
  if (facts.barrel) problems.push(`${path} only hands on exports: import from where things are made`)
  if (facts.lines > longestFile) problems.push(`${path} has ${facts.lines} lines, more than ${longestFile}`)
  return problems
}

const functionKinds: ReadonlySet<ts.SyntaxKind> = new Set([
  ts.SyntaxKind.ArrowFunction,
  ts.SyntaxKind.FunctionExpression,
  ts.SyntaxKind.FunctionDeclaration,
  ts.SyntaxKind.MethodDeclaration,
  ts.SyntaxKind.Constructor,
])

/** Lines of each function of a source, nested ones too. */
export const functionLengths = (text: string): readonly number[] => {
  const source = ts.createSourceFile("x.ts", text, ts.ScriptTarget.Latest)
  const lengths: number[] = []
  const visit = (node: ts.Node): void => {
    if (functionKinds.has(node.kind)) {
      const [first, last] = [node.getStart(source), node.end].map((at) => source.getLineAndCharacterOfPosition(at).line)
      lengths.push((last ?? 0) - (first ?? 0) + 1)
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  return lengths
}

/** One description of each cycle of imports, types included. */
const findCycles = (facts: ReadonlyMap<string, Facts>): string[] => {
  const done = new Set<string>()
  const cycles: string[] = []
  const visit = (path: string, way: readonly string[]): void => {
    const start = way.indexOf(path)
    if (start >= 0) cycles.push(`cycle: ${[...way.slice(start), path].join(" → ")}`)
    if (start >= 0 || done.has(path)) return
    for (const { specifier } of facts.get(path)?.imports ?? [])
      if (specifier.startsWith(".")) visit(posix.join(posix.dirname(path), specifier), [...way, path])
    done.add(path)
  }
  for (const path of facts.keys()) visit(path, [])
  return cycles
}

/**
 * Everything in `sources` that breaks the architecture: an import against the directions, a library or a global outside
 * its door, a cycle, a barrel, a file that is too long. Empty = sound.
 */
export const findViolations = (sources: Sources): string[] => {
  const facts = new Map([...sources].map(([path, text]) => [path, readFacts(path, text)]))
  return [...[...facts].flatMap(([path, found]) => checkFile(path, found)), ...findCycles(facts)]
}
