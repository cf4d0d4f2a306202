import { z } from "zod"
import { networks } from "./values.ts"

/** `HOST`, `HOST:PORT` or `*.SUFFIX`: no blank, slash, user or further star, so that there is one way to read each. */
const hostPattern = /^(?:\*\.)?(?:[^\s/?#@:[\]*]+|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?$/

/** Which connections may go out, besides https to public addresses: to hosts that somebody else names. */
export const remote = z.strictObject({
  allow_http: z
    .boolean()
    .default(false)
    .describe("Allow http URLs of remote servers; without TLS whoever is on the way reads and changes everything."),
  allow_networks: networks(
    "Networks to which connections may go although they are no public ones: servers that targets name by URL, and issuers' key sets.",
  ),
  allow_hosts: z
    .array(z.string().regex(hostPattern, "must be HOST, HOST:PORT or *.SUFFIX"))
    .default([])
    .describe(
      "Hosts to which connections may go whatever their addresses are: HOST or HOST:PORT, *.SUFFIX for all names below. The API server, this program's own ports and metadata services stay closed.",
    ),
})
