/** The server of a remote target, as a probe needs it. */
export type ProbedServer = {
  /** URL of its MCP endpoint. */
  readonly url: string
  /** True if a CA that the prober cannot read signs its certificate: then the chain is not verified. */
  readonly hasOwnCA: boolean
}

/** Why a server could not be reached. A small set, so that it can be a label and a stable text. */
export type UnreachableCause =
  | "NameUnknown"
  | "ConnectionRefused"
  | "NoRoute"
  | "ConnectTimeout"
  | "NoTLS"
  | "ConnectionLost"
  | "AnswerTimeout"
  | "NoHTTP"

/** What is wrong with a certificate. */
export type CertificateFault = "UnknownAuthority" | "OtherName" | "Expired" | "NotYetValid" | "Revoked" | "Unusable"

/** What a probe found. It has no header and no text of the server but the origin of a redirect. */
export type ProbeResult =
  | { readonly kind: "answered"; readonly status: number }
  /** `origin` of the redirect's target; undefined if that is no http(s) URL. */
  | { readonly kind: "redirected"; readonly status: number; readonly origin: string | undefined }
  /** The address is closed to outgoing connections; `detail` says why, without what DNS answered. */
  | { readonly kind: "closed"; readonly detail: string }
  | { readonly kind: "certificate"; readonly fault: CertificateFault }
  | { readonly kind: "unreachable"; readonly cause: UnreachableCause }

/**
 * Sends one request without credentials to a remote server and reads the head of its answer. Takes a bounded time.
 * Rejects only when the signal aborts.
 */
export type ProbeRemote = (server: ProbedServer, signal: AbortSignal) => Promise<ProbeResult>
