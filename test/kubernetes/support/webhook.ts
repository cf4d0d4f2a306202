/** A mutating admission webhook of a test's own: it changes the Pods of chosen targets as they are made. */
import { execFile } from "node:child_process"
import { readFile } from "node:fs/promises"
import { createServer } from "node:https"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { promisify } from "node:util"
import { labels } from "../../../src/api/names.ts"
import { kubectl, makeFolder } from "./cluster.ts"

const run = promisify(execFile)

/** An operation of a JSON Patch (RFC 6902). */
export type Patch = { readonly op: "add"; readonly path: string; readonly value: unknown }

/** A certificate of 127.0.0.1 that is its own authority, made by the program that comes with Go. */
const makeCertificate = async (): Promise<{ readonly cert: string; readonly key: string }> => {
  const folder = await makeFolder()
  const goroot = (await run("go", ["env", "GOROOT"])).stdout.trim()
  const maker = join(goroot, "src/crypto/tls/generate_cert.go")
  await run("go", ["run", maker, "--host", "127.0.0.1", "--ca"], { cwd: folder, timeout: 120_000 })
  const read = (name: string) => readFile(join(folder, name), "utf8")
  return { cert: await read("cert.pem"), key: await read("key.pem") }
}

type Review = { readonly request: { readonly uid: string } }

const answer = (review: Review, patch: readonly Patch[]): string =>
  JSON.stringify({
    apiVersion: "admission.k8s.io/v1",
    kind: "AdmissionReview",
    response: {
      uid: review.request.uid,
      allowed: true,
      patchType: "JSONPatch",
      patch: Buffer.from(JSON.stringify(patch)).toString("base64"),
    },
  })

/** Answers each path with its patch. */
const serve = async (patches: Readonly<Record<string, readonly Patch[]>>, tls: { cert: string; key: string }) => {
  const server = createServer(tls, async (request, response) => {
    const pieces: Buffer[] = []
    for await (const piece of request) pieces.push(piece)
    const review = JSON.parse(Buffer.concat(pieces).toString()) as Review
    response.setHeader("content-type", "application/json")
    response.end(answer(review, patches[(request.url ?? "").slice(1).split("?")[0] ?? ""] ?? []))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const close = (): void => {
    server.closeAllConnections()
    server.close()
  }
  return { origin: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, close }
}

/** Where a webhook is asked: about the Pods of one target in one namespace, at `url`. */
type Hook = { readonly namespace: string; readonly target: string; readonly url: string; readonly caBundle?: string }

const toWebhook = ({ namespace, target, url, caBundle }: Hook) => ({
  name: `${target}.webhooks.example.com`,
  admissionReviewVersions: ["v1"],
  sideEffects: "None",
  failurePolicy: "Fail",
  timeoutSeconds: 2,
  clientConfig: { url, ...(caBundle === undefined ? {} : { caBundle }) },
  namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespace } },
  objectSelector: { matchLabels: { [labels.target]: target } },
  rules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["pods"] }],
})

/** Name of the object that registers the webhooks of a namespace's tests. */
export const webhooksOf = (namespace: string): string => `reflow-test-${namespace}`

/**
 * Registers webhooks for Pods of one namespace: by a target's name what it adds to the Pods of that target, or `down` for a
 * webhook that nobody answers for. Resolves with what removes them.
 */
export const registerWebhooks = async (
  namespace: string,
  hooks: Readonly<Record<string, readonly Patch[] | "down">>,
): Promise<() => Promise<void>> => {
  const tls = await makeCertificate()
  const patches = Object.fromEntries(
    Object.entries(hooks).filter((each): each is [string, readonly Patch[]] => each[1] !== "down"),
  )
  const { origin, close } = await serve(patches, tls)
  const caBundle = Buffer.from(tls.cert).toString("base64")
  const webhooks = Object.entries(hooks).map(([target, hook]) =>
    toWebhook({
      namespace,
      target,
      caBundle,
      url: hook === "down" ? "https://127.0.0.1:1/none" : `${origin}/${target}`,
    }),
  )
  const name = webhooksOf(namespace)
  const registration = {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "MutatingWebhookConfiguration",
    metadata: { name },
    webhooks,
  }
  await kubectl(["create", "-f", "-"], { input: JSON.stringify(registration) })
  return async () => {
    await kubectl(["delete", "mutatingwebhookconfiguration", name, "--ignore-not-found"])
    close()
  }
}
