import type { Published } from "./docker.ts"
import type { Transport } from "./document.ts"
import { type Draft, shown } from "./draft.ts"
import { wordsOf } from "./resolve.ts"
import { isTooLong, literalText, splitTemplate } from "./template.ts"

/** The fields of the spec about how an instance is spoken to; undefined if the draft has a fault. */
type Spoken = { readonly stdio: object } | { readonly port: number; readonly path: string }

const noSse = "MCP has deprecated sse, and no instance speaks it"

/** The text of a name in a URL: an own variable, another input by its name with or without dashes, or what is given. */
const nameInUrl = (draft: Draft, { path, variables }: Transport, name: string): string | undefined => {
  const own = variables.get(name)
  if (own !== undefined) {
    const [pieces] = wordsOf(draft, own, name, "literal")
    if (pieces === undefined && draft.faults.length === 0 && draft.wanted.length === 0)
      draft.want(name, "is required: a URL has it")
    return pieces === undefined ? undefined : literalText(pieces)
  }
  const known = [name, `--${name}`, `-${name}`].map((each) => draft.texts.get(each)).find((text) => text !== undefined)
  if (known !== undefined) return known
  draft.inputs.add(name)
  const [given] = draft.given.get(name) ?? []
  return given ?? draft.want(name, `is required: ${shown(path.join("/"), 80)}/url has {${shown(name, 64)}}`)
}

/** The URL with the texts of its names; undefined if one is missing. */
export const urlOf = (draft: Draft, transport: Transport): string | undefined => {
  if (transport.url === undefined) return draft.fault(transport.path, "has no url")
  const parts = splitTemplate(transport.url).map((part) =>
    "text" in part ? part.text : nameInUrl(draft, transport, part.variable),
  )
  if (!parts.every((part) => part !== undefined)) return undefined
  const isLong = isTooLong(parts.map((text) => ({ text })))
  return isLong ? draft.fault([...transport.path, "url"], "becomes too long with its variables") : parts.join("")
}

const localHosts: readonly string[] = ["localhost", "127.0.0.1", "0.0.0.0", "[::1]", "[::]"]

/** Port and path of a server that an instance runs, as its document has them for the machine it runs on. */
const placeOf = (draft: Draft, transport: Transport): { port: number; path: string } | undefined => {
  const text = urlOf(draft, transport)
  if (text === undefined) return undefined
  const place = [...transport.path, "url"]
  const url = URL.parse(text)
  if (url?.protocol !== "http:" || !localHosts.includes(url.hostname) || url.search !== "" || url.hash !== "")
    return draft.fault(place, "must be http://localhost:PORT/PATH: the instance itself serves it")
  return { port: url.port === "" ? 80 : Number(url.port), path: url.pathname }
}

/** The container's port: the one that docker would publish as the URL's, or the URL's own. */
const containerPort = (draft: Draft, port: number, published: readonly Published[]): number => {
  const found = published.find(({ host }) => host === port)
  for (const each of published.filter((one) => one !== found))
    draft.fault(each.path, "publishes a port that the URL of the transport does not name")
  return found?.container ?? port
}

/** Reads how an instance of a package is spoken to. */
export const addTransport = (
  draft: Draft,
  transport: Transport,
  published: readonly Published[] = [],
): Spoken | undefined => {
  const { type, path, headers } = transport
  if (type === "stdio") {
    for (const each of published) draft.fault(each.path, "publishes a port, though the server speaks stdin and stdout")
    return { stdio: {} }
  }
  if (type !== "streamable-http")
    return draft.fault([...path, "type"], type === "sse" ? noSse : "must be stdio or streamable-http")
  const required = headers.find(({ isRequired }) => isRequired)
  if (required !== undefined)
    return draft.fault(required.path, "is a header that clients send: an instance gets none of the target's")
  if (headers.length > 0) draft.warn([...path, "headers"], "are left out: an instance gets no headers of the target's")
  const place = placeOf(draft, transport)
  if (place === undefined) return undefined
  draft.origins.push({ field: ["port"], place: [...path, "url"] }, { field: ["path"], place: [...path, "url"] })
  return { port: containerPort(draft, place.port, published), path: place.path }
}
