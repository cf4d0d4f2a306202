/** The pod templates that come with the program. */
import { describe, expect, test } from "vitest"
import type { Pod } from "../../../src/api/kinds/pod.ts"
import { takenBy } from "../../../src/operator/desired/permissions.ts"
import { anInstance } from "../../support/build/instance.ts"
import { builtinHost, failureOf } from "../../support/builtin-host.ts"

describe("pod templates", () => {
  const pod: Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", labels: { mine: "1" } },
    spec: { containers: [{ name: "mcp", image: "i" }], nodeSelector: { a: "b" } },
  }
  const render = async (name: string, config: Record<string, unknown>) =>
    (await builtinHost(name)).template(pod, anInstance({ spec: { podTemplates: [{ name, config }] } }))

  test("choose nodes by labels and tolerations", async () => {
    const made = await render("node-selector", {
      labels: { pool: "mcp" },
      tolerations: [{ key: "mcp", operator: "Exists" }],
    })
    expect(made.spec).toMatchObject({
      nodeSelector: { a: "b", pool: "mcp" },
      tolerations: [{ key: "mcp", operator: "Exists" }],
    })
  })
  test("that tolerate every taint, or those of the control plane, need a word for it", async () => {
    for (const toleration of [{ operator: "Exists" }, { key: "node-role.kubernetes.io/control-plane" }]) {
      const made = await render("node-selector", { tolerations: [toleration] })
      expect(takenBy(made, anInstance())).toEqual({ permissions: ["tolerations"], refused: [] })
    }
    const own = await render("node-selector", { tolerations: [{ key: "mcp", operator: "Exists" }] })
    expect(takenBy(own, anInstance())).toEqual({ permissions: [], refused: [] })
  })
  test("choose a runtime", async () => {
    expect((await render("runtime-class", { name: "gvisor" })).spec.runtimeClassName).toBe("gvisor")
    expect(await failureOf(() => render("runtime-class", { name: "../x" }))).toContain(
      "must be the name of a RuntimeClass",
    )
  })
  test("add labels and annotations, but none of ours", async () => {
    const made = await render("labels", { labels: { team: "a" }, annotations: { note: "b" } })
    expect(made.metadata).toMatchObject({ labels: { mine: "1", team: "a" }, annotations: { note: "b" } })
    expect(await failureOf(() => render("labels", { labels: { "mcp.reflow.io/instance": "bobs" } }))).toContain(
      "is reserved",
    )
  })
})
