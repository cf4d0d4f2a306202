import { z } from "zod"
import { headerTemplatePattern } from "../header-template.ts"
import { form } from "../units.ts"
import { containerFields } from "./container.ts"
import type { Rule } from "./kind.ts"

/** Most headers of a remote server's target. */
const maxHeaders = 32

const Header = z
  .object({
    name: form(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/, 128, "must be the name of a header (RFC 9110, 5.1)").describe(
      "Name of the header.",
    ),
    value: form(
      headerTemplatePattern,
      4096,
      "must be printable ASCII; ${NAME} stands for a credential, and $$ for one $",
    ).describe(
      "Value of the header. ${NAME} is replaced by a credential, $$ by $. Without the value of an optional credential the header is left out.",
    ),
  })
  .describe("A header of each request to the server.")

/** A server outside of the cluster. */
const Remote = z
  .object({
    url: form(
      /^https?:\/\/[!-"$-.0->A-[\]-~]+(\/[!-"$-~]*)?$/,
      2048,
      "must be an http(s) URL in ASCII, without user, blanks and fragment, e.g. https://mcp.example.com/mcp",
    ).describe("URL of the server's MCP endpoint. http only if the configuration has remote.allow_http."),
    headers: z
      .array(Header)
      .max(maxHeaders)
      .optional()
      .describe("Headers of each request to the server, usually with its credential."),
    caSecret: form(/^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$/, 253, "must be the name of a Secret")
      .optional()
      .describe(
        "Name of a Secret whose ca.crt has the certificates that sign the server's; default: the usual authorities.",
      ),
  })
  .describe("Where the server is that somebody else runs, and what each request to it carries.")

/** The field of a target about a server outside of the cluster. */
export const remoteFields = { remote: Remote.optional() }

type RemoteSpec = z.infer<typeof Remote>

/** The transport of a target whose server somebody else runs. */
export const remoteTransport = "streamable-http"

type Spec = {
  readonly transportType?: string
  readonly remote?: RemoteSpec | undefined
  readonly image?: string | undefined
  readonly package?: object | undefined
  readonly port?: number | undefined
  readonly stdio?: object | undefined
}

/** True if somebody else runs the target's server: then nothing of it runs in the cluster. */
export const isRemote = ({ spec }: { readonly spec: Pick<Spec, "transportType"> }): boolean =>
  spec.transportType === remoteTransport

/** `self` is the target's spec. */
const isRemoteCEL = `self.transportType == '${remoteTransport}'`

/** Fields about an instance, which a remote server has not. */
export const instanceFields: readonly string[] = [...Object.keys(containerFields), "streamTTL", "maxInstances"]

const refusedField = (field: string): Rule => ({
  path: "spec",
  field,
  cel: `!(${isRemoteCEL}) || !has(self.${field})`,
  message: `${field} cannot be used with transportType ${remoteTransport}: somebody else runs the server`,
  holds: (spec: Spec) => !isRemote({ spec }) || spec[field as keyof Spec] === undefined,
})

/**
 * Headers that a target cannot set: those of the connection (RFC 9110 §7.6.1), of the message's framing and content, of
 * MCP's transport, cookies, and those that name a client.
 */
const reservedHeader =
  /^(connection|keep-alive|te|trailer|transfer-encoding|upgrade|proxy-.*|host|expect|content-.*|mcp-.*|cookie|set-cookie|accept|accept-encoding|last-event-id|forwarded|x-forwarded-.*|cdn-loop)$/

/** Rules of a remote server's target that a schema cannot express. */
export const remoteRules: readonly Rule[] = [
  {
    path: "spec",
    field: "remote",
    isMissing: true,
    cel: `!(${isRemoteCEL}) || has(self.remote)`,
    message: `remote is required for transportType ${remoteTransport}`,
    holds: (spec: Spec) => !isRemote({ spec }) || spec.remote !== undefined,
  },
  {
    path: "spec",
    field: "remote",
    cel: `${isRemoteCEL} || !has(self.remote)`,
    message: `remote needs transportType ${remoteTransport}`,
    holds: (spec: Spec) => isRemote({ spec }) || spec.remote === undefined,
  },
  {
    path: "spec",
    field: "image",
    isMissing: true,
    cel: `${isRemoteCEL} || has(self.image) || has(self.package)`,
    message: "image or package is required",
    holds: (spec: Spec) => isRemote({ spec }) || spec.image !== undefined || spec.package !== undefined,
  },
  {
    path: "spec",
    field: "port",
    isMissing: true,
    cel: `${isRemoteCEL} || has(self.port) || has(self.stdio)`,
    message: "port is required",
    holds: (spec: Spec) => isRemote({ spec }) || spec.port !== undefined || spec.stdio !== undefined,
  },
  ...instanceFields.map(refusedField),
  {
    path: "spec",
    field: "identityHeaders",
    cel: `!(${isRemoteCEL}) || !has(self.identityHeaders) || !self.identityHeaders`,
    message: `identityHeaders cannot be used with transportType ${remoteTransport}: who calls stays in the cluster`,
    holds: (spec: Spec & { readonly identityHeaders?: boolean }) =>
      !isRemote({ spec }) || spec.identityHeaders !== true,
  },
  {
    path: "spec.remote.headers",
    cel: `self.all(h, !h.name.lowerAscii().matches(${JSON.stringify(reservedHeader.source)}))`,
    message: "must not name a header of the connection, the content, MCP, cookies or clients",
    holds: (headers: readonly { readonly name: string }[]) =>
      headers.every(({ name }) => !reservedHeader.test(name.toLowerCase())),
  },
  {
    path: "spec.remote.headers",
    cel: "self.all(h, self.exists_one(other, other.name.lowerAscii() == h.name.lowerAscii()))",
    message: "must name each header once",
    holds: (headers: readonly { readonly name: string }[]) =>
      new Set(headers.map(({ name }) => name.toLowerCase())).size === headers.length,
  },
]
