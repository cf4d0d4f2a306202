/** The least security of an instance's Pod and of all its containers, whatever pod templates set. */
import type { MCPInstance, MCPInstanceSpec } from "../../api/kinds/mcp-instance.ts"
import type { Container, Pod, PodSpec } from "../../api/kinds/pod.ts"
import type { Settings } from "../snapshot.ts"
import type { PodFreedom } from "./field-rule.ts"
import { usesCache } from "./package.ts"
import { lowPortsName } from "./pod-fields.ts"

const defined = (fields: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))

/** Keeps the last log lines out of the Pod's status, since they may hold secrets. */
export const messages = { terminationMessagePath: "/dev/termination-log", terminationMessagePolicy: "File" } as const

const lowPorts = { name: lowPortsName, value: "0" }

/** Users, groups and seccomp profile of the Pod, as the Pod Security Standard `restricted` requires them. */
const podSecurity = (spec: MCPInstanceSpec, settings: Settings): PodSpec["securityContext"] => {
  const { security } = spec
  return defined({
    runAsNonRoot: security?.runAsNonRoot ?? security?.runAsUser !== 0,
    runAsUser: security?.runAsUser ?? settings.run_as_user,
    runAsGroup: security?.runAsGroup ?? settings.run_as_user,
    fsGroup: security?.fsGroup ?? settings.run_as_user,
    seccompProfile: { type: "RuntimeDefault" },
    // else the kubelet changes the group of every file of the cache claim before each start
    ...(usesCache(spec, settings) ? { fsGroupChangePolicy: "OnRootMismatch" } : {}),
  })
}

const containerSecurity = ({ security }: MCPInstanceSpec): Container["securityContext"] => ({
  allowPrivilegeEscalation: false,
  capabilities: { drop: ["ALL"] },
  readOnlyRootFilesystem: security?.readOnlyRootFilesystem ?? true,
})

const privilegesOf = ({ securityContext = {} }: Container): Container["securityContext"] => {
  const { privileged, procMount, appArmorProfile, seLinuxOptions, windowsOptions } = securityContext
  const escalates = privileged === true ? { allowPrivilegeEscalation: true } : {}
  return defined({ privileged, procMount, appArmorProfile, seLinuxOptions, windowsOptions, ...escalates })
}

/** Fields of a Pod's securityContext that a template never sets, also where the platform chooses their values. */
const ownSecurity: ReadonlySet<string> = new Set(["runAsUser", "runAsGroup", "runAsNonRoot", "fsGroup"])

const othersSecurity = ({ securityContext = {} }: PodSpec): PodSpec["securityContext"] =>
  Object.fromEntries(Object.entries(securityContext).filter(([field]) => !ownSecurity.has(field)))

/** Kernel settings of templates other than ours, if kubernetes.allow_in_pods has `capabilities`. */
const otherSysctls = ({ securityContext }: PodSpec, settings: Settings): readonly unknown[] => {
  const { sysctls } = securityContext ?? {}
  if (!settings.allow_in_pods.includes("capabilities") || !Array.isArray(sysctls)) return []
  return sysctls.filter((each) => each?.name !== lowPorts.name)
}

/** The Pod's securityContext: the operator's fields, and the template's for all others. */
export const securityOf = (spec: PodSpec, instance: MCPInstance, settings: Settings): Record<string, unknown> => ({
  ...othersSecurity(spec),
  ...podSecurity(instance.spec, settings),
  sysctls: [lowPorts, ...otherSysctls(spec, settings)],
})

/** The containers of one kind with the operator's securityContext, and what kubernetes.allow_in_pods allows. */
export const secured = (
  kind: "containers" | "initContainers",
  pod: Pod,
  instance: MCPInstance,
  settings: Settings,
): Partial<PodSpec> => {
  const containers = pod.spec[kind]
  if (containers === undefined) return {}
  const may = (freedom: PodFreedom) => settings.allow_in_pods.includes(freedom)
  return {
    [kind]: containers.map((each) => ({
      ...each,
      ...messages,
      // on the embedded cluster Pods share a file system, so each has a file of its own
      ...(settings.embedded ? defined({ terminationMessagePath: each.terminationMessagePath }) : {}),
      // other fields of a container, such as its user, would override those of the Pod
      securityContext: {
        ...containerSecurity(instance.spec),
        ...(may("privileged") ? privilegesOf(each) : {}),
        ...(may("capabilities") ? defined({ capabilities: each.securityContext?.capabilities }) : {}),
      },
    })),
  }
}
