import { expect, onTestFinished, test } from "vitest"
import { createKubeCluster } from "../../../../src/adapters/kube/cluster.ts"
import { systemClock } from "../../../../src/adapters/system/clock.ts"
import { mcpTargetKind } from "../../../../src/api/kinds/mcp-target.ts"
import { quietTelemetry } from "../../../support/quiet-telemetry.ts"
import { answer, refuse, scriptedApi } from "../../../support/scripted-api.ts"

const ref = { namespace: "reflow", name: "x" }

const world = async () => {
  const api = await scriptedApi()
  const telemetry = quietTelemetry()
  const { kubeconfig } = api
  const cluster = createKubeCluster({ kubeconfig, fieldManager: "tester", clock: systemClock, telemetry })
  onTestFinished(async () => {
    await cluster.close()
    await api.close()
  })
  return { api, cluster }
}

test("a log is followed in whole characters, until the server ends it", async () => {
  const { api, cluster } = await world()
  const [first, second] = [Buffer.from("ä\n").subarray(0, 1), Buffer.from("ä\n").subarray(1)]
  let more = (): void => {}
  api.play((_, response) => {
    response.writeHead(200, { "content-type": "text/plain" })
    response.write(Buffer.concat([Buffer.from("one\n"), first]))
    more = () => response.end(second)
  })
  const seen: string[] = []
  for await (const text of cluster.streamLogs(ref, { tailLines: 3, follow: true })) {
    seen.push(text)
    more()
  }
  expect(seen).toEqual(["one\n", "ä\n"])
  const { pathname, searchParams } = api.requests[0]?.url ?? new URL("http://none")
  expect(pathname).toBe("/api/v1/namespaces/reflow/pods/x/log")
  expect(Object.fromEntries(searchParams)).toEqual({ container: "mcp", follow: "true", tailLines: "3" })
})

test("following ends with its signal, and the connection with it", async () => {
  const { api, cluster } = await world()
  const stop = new AbortController()
  const closed = Promise.withResolvers<void>()
  api.play((_, response) => {
    response.on("close", closed.resolve)
    response.writeHead(200).write("one\n")
  })
  const following = (async () => {
    for await (const text of cluster.streamLogs(ref, {}, { signal: stop.signal })) if (text === "one\n") stop.abort()
  })()
  await expect(following).rejects.toMatchObject({ name: "AbortError" })
  await closed.promise
})

test("a log that cannot be read, or breaks off, is an error", async () => {
  const { api, cluster } = await world()
  const read = async () => {
    for await (const _ of cluster.streamLogs(ref, {}));
  }
  api.play(refuse(404, "NotFound"))
  await expect(read()).rejects.toMatchObject({ code: "ApiNotFound" })
  api.play((_, response) => {
    response.writeHead(200).write("one\n", () => response.destroy())
  })
  await expect(read()).rejects.toMatchObject({ code: "ClusterUnavailable" })
})

test("the managers of an object's fields are told, without this client and those of its status", async () => {
  const { api, cluster } = await world()
  const fieldsV1 = { "f:spec": { "f:image": {} } }
  const entry = { operation: "Update", apiVersion: "v1", fieldsType: "FieldsV1", fieldsV1 }
  const managedFields = [
    { ...entry, manager: "kubectl-client-side-apply" },
    { ...entry, manager: "tester" },
    { ...entry, manager: "reflow-operator", subresource: "status" },
    { manager: "broken" },
  ]
  api.play(answer(200, { metadata: { ...ref, uid: "u", managedFields }, spec: {} }))
  const managed = await cluster.getManaged(mcpTargetKind, ref)
  expect(managed?.others).toEqual([{ name: "kubectl-client-side-apply", fields: fieldsV1 }])
  expect(managed?.object.metadata).not.toHaveProperty("managedFields")
  api.play(refuse(404, "NotFound"))
  expect(await cluster.getManaged(mcpTargetKind, ref)).toBeUndefined()
})
