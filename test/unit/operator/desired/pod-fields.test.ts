import { readFileSync } from "node:fs"
import { resolve } from "node:path"
import { describe, expect, test } from "vitest"
import type { Pod } from "../../../../src/api/kinds/pod.ts"
import { podFreedoms } from "../../../../src/config/schema.ts"
import type { FieldRule, FieldRules } from "../../../../src/operator/desired/field-rule.ts"
import { desiredPod } from "../../../../src/operator/desired/pod.ts"
import { podSpecFields } from "../../../../src/operator/desired/pod-fields.ts"
import { anInstance } from "../../../support/build/instance.ts"
import { someSettings } from "../../../support/build/settings.ts"

const file = resolve(import.meta.dirname, "../../../../docs/plugins.md")
const page = readFileSync(file, "utf8")

type Leaf = { readonly path: string; readonly rule: FieldRule }

/** Every decision, by the path of its field. */
const leaves = (fields: FieldRules, at: string): readonly Leaf[] =>
  Object.entries(fields).flatMap(([name, rule]) => {
    const path = `${at}.${name}${rule.parts?.list === true ? "[]" : ""}`
    return [{ path, rule }, ...(rule.parts === undefined ? [] : leaves(rule.parts.fields, path))]
  })

/** Paths as people are shown them: both kinds of containers, all probes and both hooks are decided alike. */
const shown = (path: string): string =>
  path
    .replace(/^spec\.(initContainers|containers)\[\]\./, "container: ")
    .replace(/^spec\./, "")
    .replace(/(liveness|readiness|startup)Probe\b/, "…Probe")
    .replace(/lifecycle\.(postStart|preStop)\b/, "lifecycle.…")

const free = "the template's"

const decisionOf = ({ decides, needs, refuses, note }: FieldRule): string => {
  if (decides === "ours") return `set by the operator: ${note}`
  const permissions = needs.map(({ permission }) => `\`${permission}\``).join(", ")
  if (permissions !== "") return note === "" ? permissions : `${permissions}: ${note}`
  return refuses !== undefined && note !== "" ? `limited: ${note}` : `${free}${note === "" ? "" : `: ${note}`}`
}

/** A row for each decision, with its fields. */
const table = (): string => {
  const rows = new Map<string, Set<string>>()
  for (const { path, rule } of leaves(podSpecFields, "spec")) {
    const decision = decisionOf(rule)
    if (decision === free && rule.parts !== undefined) continue
    rows.set(decision, (rows.get(decision) ?? new Set()).add(`\`${shown(path)}\``))
  }
  const lines = [...rows].map(([decision, fields]) => `| ${decision} | ${[...fields].join(", ")} |`)
  const order = (line: string): number => (line.startsWith("| ours") ? 0 : line.startsWith(`| ${free} |`) ? 2 : 1)
  const sorted = lines.toSorted((one, other) => order(one) - order(other) || (one < other ? -1 : 1))
  return ["| decision | fields |", "|---|---|", ...sorted].join("\n")
}

test("docs/plugins.md shows every field with its decision, and every word", async () => {
  const renewed = page.replace(
    /<!-- pod fields -->\n(?:\n*\|[^\n]*)*\n*/,
    () => `<!-- pod fields -->\n\n${table()}\n\n`,
  )
  await expect(renewed).toMatchFileSnapshot(file)
  expect(page).toContain("<!-- pod fields -->")
  const [, section = ""] = page.split("## What a pod template may take")
  for (const word of podFreedoms) expect(section.split("<!--")[0], word).toContain(`\`${word}\``)
})

/** Fields of Kubernetes 1.35.4 (k8s.io/api/core/v1, types.go), from which the table was written. */
const known: readonly (readonly [string, string])[] = [
  [
    "spec",
    `volumes initContainers containers ephemeralContainers restartPolicy terminationGracePeriodSeconds
     activeDeadlineSeconds dnsPolicy nodeSelector serviceAccountName serviceAccount automountServiceAccountToken nodeName
     hostNetwork hostPID hostIPC shareProcessNamespace securityContext imagePullSecrets hostname subdomain affinity
     schedulerName tolerations hostAliases priorityClassName priority dnsConfig readinessGates runtimeClassName
     enableServiceLinks preemptionPolicy overhead topologySpreadConstraints setHostnameAsFQDN os hostUsers
     schedulingGates resourceClaims resources hostnameOverride workloadRef`,
  ],
  [
    "spec.containers[]",
    `name image command args workingDir ports envFrom env resources resizePolicy restartPolicy restartPolicyRules
     volumeMounts volumeDevices livenessProbe readinessProbe startupProbe lifecycle terminationMessagePath
     terminationMessagePolicy imagePullPolicy securityContext stdin stdinOnce tty`,
  ],
  [
    "spec.securityContext",
    `seLinuxOptions windowsOptions runAsUser runAsGroup runAsNonRoot supplementalGroups supplementalGroupsPolicy fsGroup
     sysctls fsGroupChangePolicy seccompProfile appArmorProfile seLinuxChangePolicy`,
  ],
  [
    "spec.containers[].securityContext",
    `capabilities privileged seLinuxOptions windowsOptions runAsUser runAsGroup runAsNonRoot readOnlyRootFilesystem
     allowPrivilegeEscalation procMount seccompProfile appArmorProfile`,
  ],
  [
    "spec.volumes[]",
    `name hostPath emptyDir gcePersistentDisk awsElasticBlockStore gitRepo secret nfs iscsi glusterfs
     persistentVolumeClaim rbd flexVolume cinder cephfs flocker downwardAPI fc azureFile configMap vsphereVolume quobyte
     azureDisk photonPersistentDisk projected portworxVolume scaleIO storageos csi ephemeral image`,
  ],
]

test.each(known)("every field of %s that Kubernetes 1.35 knows is decided, and no other", (at, names) => {
  const prefix = `${at}.`
  const decided = leaves(podSpecFields, "spec")
    .filter(({ path }) => path.startsWith(prefix))
    .map(({ path }) => path.slice(prefix.length).replace("[]", ""))
    .filter((name) => !name.includes("."))
  expect(decided.toSorted()).toEqual(names.split(/\s+/).toSorted())
})

/** `value` at a path such as `spec.containers[].env[].name`, in a Pod that has the first of each list. */
const withField = (pod: Pod, path: string, value: unknown): Pod => {
  const copy = structuredClone(pod)
  const steps = path.split(".")
  const last = steps.pop() ?? ""
  let at: Record<string, unknown> = copy as never
  for (const step of steps) {
    const name = step.replace("[]", "")
    const made = (at[name] ?? (step.endsWith("[]") ? [{}] : {})) as never
    at[name] = made
    at = step.endsWith("[]") ? made[0] : made
  }
  at[last.replace("[]", "")] = value
  return copy
}

const fieldOf = (pod: Pod, path: string): unknown =>
  path.split(".").reduce<unknown>((at, step) => {
    const found = (at as Record<string, unknown> | undefined)?.[step.replace("[]", "")]
    return step.endsWith("[]") ? (found as unknown[] | undefined)?.[0] : found
  }, pod)

const instance = anInstance({ spec: { podTemplates: [{ name: "sample/any" }] } })
const rendered = (template: (pod: Pod) => Pod): Pod =>
  desiredPod({ instance, name: "p", settings: someSettings({ template, allow_in_pods: [...podFreedoms] }) })

describe("a field of a Pod", () => {
  const all = leaves(podSpecFields, "spec").filter(({ path }) => !path.includes("ephemeralContainers"))

  test.each(all.filter(({ rule }) => rule.decides === "ours").map(({ path }) => path))(
    "that is ours is put back: %s",
    (path) => {
      // with the word, capabilities are as the template says
      if (path.endsWith(".capabilities.drop")) return
      const plain = fieldOf(
        rendered((pod) => pod),
        path.replace("initContainers", "containers"),
      )
      const made = rendered((pod) => withField(pod, path, "unlike any"))
      expect(fieldOf(made, path)).toEqual(plain)
    },
  )

  const given = all.filter(({ rule }) => rule.decides !== "ours" && rule.parts === undefined)
  const sampleOf = ({ rule }: Leaf): unknown =>
    [30, "unlike any", ["unlike any"], { name: "linux" }].find((value) => rule.refuses?.(value, instance) !== true)
  test.each(given.map((leaf) => [leaf.path, leaf] as const))(
    "that is the template's stays as it is: %s",
    (path, leaf) => {
      if (path === "spec.ephemeralContainers") return
      const value = sampleOf(leaf)
      const made = rendered((pod) => withField(pod, path, value))
      if (/ainers\[\]\.securityContext\.appArmorProfile$|sysctls$/.test(path)) return
      expect(fieldOf(made, path)).toEqual(value)
    },
  )
})
