import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { createMemoryCluster, type MemoryCluster } from "../../../src/adapters/memory/cluster.ts"
import { mcpTargetKind } from "../../../src/api/kinds/mcp-target.ts"
import { createCompose, type ResolveSecret } from "../../../src/credentials/compose.ts"
import { setScope } from "../../../src/credentials/store.ts"
import { AppError, isAppError } from "../../../src/errors.ts"
import { aTarget, type TargetParts } from "../../support/build/target.ts"
import { fakeClock } from "../../support/fake-clock.ts"
import { quietTelemetry } from "../../support/quiet-telemetry.ts"

let cluster: MemoryCluster
beforeEach(() => {
  cluster = createMemoryCluster({ clock: fakeClock(), telemetry: quietTelemetry() })
})
afterEach(() => cluster.close())

const holder = { subjectKey: "user:a", issuer: "dev", subject: "alice", groups: [], roles: [] }
const signal = new AbortController().signal
const namespace = "reflow"

/** Has none of `none:reason`, and gives what stands behind `text:`. */
const resolve: ResolveSecret = async ({ from }) => {
  const [scheme, ...rest] = from.split(":")
  const text = rest.join(":")
  if (scheme === "none") throw new AppError("CredentialMissing", { detail: text.replace("nothing said", "") })
  return { value: text }
}

const compose = (parts: TargetParts) =>
  createCompose({ cluster, namespace, resolve, apiUrl: "https://gateway/api" })(aTarget(parts), holder, signal)

const failureOf = async (parts: TargetParts): Promise<AppError> => {
  const error = await compose(parts).catch((each: unknown) => each)
  if (!isAppError(error)) throw new Error(`no AppError: ${String(error)}`)
  return error
}

const secrets = (...froms: string[]) => froms.map((from, index) => ({ name: `TOKEN_${index}`, from }))

describe("a value that a resolver has none of", () => {
  test("is a missing credential, with the plugin's reason", async () => {
    expect(await failureOf({ spec: { secrets: secrets("none:Connect at https://x.example/a") } })).toMatchObject({
      code: "CredentialMissing",
      message: expect.stringMatching(
        /^files needs the credential TOKEN_0\. TOKEN_0: Connect at https:\/\/x\.example\/a\. Set yours with: /,
      ),
      data: {
        names: ["TOKEN_0"],
        credentials: [{ name: "TOKEN_0", reason: "Connect at https://x.example/a" }],
        url: "https://gateway/api/targets/files/env/me",
      },
    })
  })

  test("is a missing credential without a reason, too, and beside others", async () => {
    expect(await failureOf({ spec: { secrets: secrets("none:nothing said") } })).toMatchObject({
      code: "CredentialMissing",
      message: expect.stringMatching(/^files needs the credential TOKEN_0\. Set yours with: /),
      data: { names: ["TOKEN_0"] },
    })
    const credentials = [{ name: "KEY", required: true }]
    const spec = { credentials, secrets: secrets("none:Connect it.", "text:x", "none:nothing said") }
    expect(await failureOf({ spec })).toMatchObject({
      message: expect.stringMatching(/^files needs the credentials KEY, TOKEN_0, TOKEN_2\. TOKEN_0: Connect it\. Set/),
      data: {
        names: ["KEY", "TOKEN_0", "TOKEN_2"],
        credentials: [{ name: "KEY" }, { name: "TOKEN_0", reason: "Connect it." }, { name: "TOKEN_2" }],
      },
    })
  })

  test("does not matter where the user has set one", async () => {
    const { metadata, ...rest } = aTarget({ spec: { secrets: secrets("none:Connect it.") } })
    const target = await cluster.create(mcpTargetKind, { ...rest, metadata: { name: metadata.name, namespace } })
    const who = { issuer: "dev", name: "alice" }
    await setScope({ cluster, namespace, target, signal, scope: "user", who, values: { TOKEN_0: "own" } })
    const composed = await createCompose({ cluster, namespace, resolve })(target, holder, signal)
    expect(composed.values).toEqual({ TOKEN_0: "own" })
  })

  test("is left out where the target lists it as a credential that it can do without", async () => {
    const credentials = [{ name: "TOKEN_0" }]
    const spec = { credentials, secrets: secrets("none:Connect it.", "text:x") }
    expect((await compose({ spec })).values).toEqual({ TOKEN_1: "x" })
  })
})

test("without a plugin for its scheme, a value is refused by the name of the scheme", async () => {
  const target = aTarget({ spec: { secrets: secrets("vault:team/key:more") } })
  await expect(createCompose({ cluster, namespace })(target, holder, signal)).rejects.toMatchObject({
    code: "PluginFailed",
    message: "No plugin resolves 'vault:' for TOKEN_0.",
  })
})

test("a resolver that fails is no missing credential", async () => {
  const failing: ResolveSecret = async () => {
    throw new AppError("PluginFailed", { detail: "It failed." })
  }
  const asked = createCompose({ cluster, namespace, resolve: failing })
  await expect(asked(aTarget({ spec: { secrets: secrets("x:y") } }), holder, signal)).rejects.toMatchObject({
    code: "PluginFailed",
  })
})
