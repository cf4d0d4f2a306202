import { expect, test } from "vitest"
import { type MCPTarget, mcpTargetKind } from "../../../../src/api/kinds/mcp-target.ts"
import { planStart, type TargetDocument } from "../../../../src/roles/dev/plan.ts"
import type { DevState, StateRecord } from "../../../../src/roles/dev/state-file.ts"

const spec = { image: "a", port: 8080 } as MCPTarget["spec"]
const targetOf = (name: string, uid?: string, namespace = "reflow"): MCPTarget => ({
  apiVersion: mcpTargetKind.apiVersion,
  kind: mcpTargetKind.kind,
  metadata: { name, namespace, ...(uid === undefined ? {} : { uid }) },
  spec,
})
const documentOf = (name: string, digest = "one"): TargetDocument => ({
  manifest: { label: name, values: {}, sourceOf: () => name },
  object: targetOf(name),
  digest,
})
/** A target as the REST API made it. */
const registered = (name: string, namespace?: string): StateRecord => ({
  object: targetOf(name, `uid-${name}`, namespace),
  managers: { "Update reflow-gateway": [["spec", "image"]] },
})
/** A target as it came from a document. */
const loaded = (name: string, document = "one", touchedBy?: string): StateRecord => ({
  object: targetOf(name, `uid-${name}`),
  managers: { "Update reflow": [["spec", "port"]], ...(touchedBy === undefined ? {} : { [touchedBy]: [["spec"]] }) },
  document,
})
const valuesFor = (name: string): StateRecord => ({
  object: {
    apiVersion: "v1",
    kind: "Secret",
    metadata: {
      name: `${name}-env-default`,
      namespace: "reflow",
      uid: `uid-values-${name}`,
      ownerReferences: [{ apiVersion: mcpTargetKind.apiVersion, kind: "MCPTarget", name, uid: `uid-${name}` }],
    },
  },
})
const state = (more: Partial<DevState>): DevState => ({ objects: [], aside: [], deleted: [], ...more })
const plan = (more: Partial<DevState>, documents: readonly TargetDocument[] = []) => {
  const { restore, create, aside, deleted, notices } = planStart(state(more), documents, "reflow")
  const named = (records: readonly StateRecord[]) => records.map(({ object }) => object.metadata.name)
  return {
    restore: named(restore.map(({ record }) => record)),
    create: create.map(({ object }) => object.metadata.name),
    aside: named(aside),
    deleted: deleted.map(({ name }) => name),
    notices: notices.map(({ what, name }) => `${what} ${name}`),
  }
}
const nothing = { restore: [], create: [], aside: [], deleted: [], notices: [] }

test("a first start creates what the documents say", () => {
  expect(plan({}, [documentOf("a"), documentOf("b")])).toEqual({ ...nothing, create: ["a", "b"] })
})

test("owners are restored before what they own, in whatever order they were kept", () => {
  expect(plan({ objects: [valuesFor("a"), registered("a")] }).restore).toEqual(["a", "a-env-default"])
})

test("a document that was loaded before is restored, not created beside", () => {
  expect(plan({ objects: [loaded("a")] }, [documentOf("a")])).toEqual({ ...nothing, restore: ["a"] })
})

test("a changed document is restored under the identity that it had, and told only if it replaces somebody's changes", () => {
  const [restored] = planStart(state({ objects: [loaded("a")] }), [documentOf("a", "two")], "reflow").restore
  expect(restored?.record).toMatchObject({ document: "two", object: { metadata: { uid: "uid-a" }, spec } })
  expect(plan({ objects: [loaded("a")] }, [documentOf("a", "two")]).notices).toEqual([])
  const touched = loaded("a", "one", "Update reflow-gateway")
  expect(plan({ objects: [touched] }, [documentOf("a", "two")]).notices).toEqual(["replaces a"])
})

test("a document that is given twice is created once more, so that the cluster refuses it", () => {
  expect(plan({ objects: [loaded("a")] }, [documentOf("a"), documentOf("a", "two")])).toMatchObject({
    restore: ["a"],
    create: ["a"],
  })
})

test("without its document only what a user made of it waits: changes, and values with the target that they are for", () => {
  expect(plan({ objects: [loaded("a")] })).toEqual(nothing)
  expect(plan({ objects: [loaded("a", "one", "Update reflow-gateway")] }).aside).toEqual(["a"])
  expect(plan({ objects: [loaded("a"), valuesFor("a")] })).toEqual({ ...nothing, aside: ["a", "a-env-default"] })
})

test("what waits is back with its document", () => {
  const aside = [loaded("a"), valuesFor("a")]
  expect(plan({ aside }, [documentOf("a")])).toEqual({ ...nothing, restore: ["a", "a-env-default"] })
})

test("what was deleted stays so while its document is the same, also in a start without it", () => {
  const deleted = [{ kind: "MCPTarget", name: "a", document: "one" }]
  expect(plan({ deleted }, [documentOf("a")])).toEqual({ ...nothing, deleted: ["a"], notices: ["deleted a"] })
  expect(plan({ deleted })).toEqual({ ...nothing, deleted: ["a"] })
  expect(plan({ deleted }, [documentOf("a", "two")])).toEqual({ ...nothing, create: ["a"] })
})

test("what the REST API made is stronger than a document of its name; what had come from that waits", () => {
  const made: StateRecord = { ...registered("a"), object: targetOf("a", "uid-other") }
  const before = [loaded("a"), valuesFor("a")]
  expect(plan({ objects: [made], aside: before }, [documentOf("a")])).toEqual({
    ...nothing,
    restore: ["a"],
    aside: ["a", "a-env-default"],
    notices: ["registered a"],
  })
})

test("what is of another namespace waits, and values whose target is gone for good do not", () => {
  expect(plan({ objects: [registered("a", "elsewhere"), valuesFor("gone")] })).toEqual({ ...nothing, aside: ["a"] })
})
