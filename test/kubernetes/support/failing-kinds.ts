/** The ways in which a start fails, how each is brought about, and what people must be told of it. */
import type { ContainerStatus, Pod } from "../../../src/api/kinds/pod.ts"
import type { ReadyReason } from "../../../src/operator/reasons.ts"
import { images } from "./images.ts"

/** Fields of a spec. */
export type Fields = Readonly<Record<string, unknown>>

const program = "/usr/local/bin/node"
/** Prints its variable TOKEN, as a careless server does, and ends. */
export const crash = [program, "-e", "console.error(process.env.TOKEN); console.error('giving up'); process.exit(3)"]
/** Takes memory until it is killed. */
export const greedy = [program, "-e", "const kept = []; for (;;) kept.push(Buffer.alloc(1e6, 1))"]
/** Little memory. */
export const memory = { requests: { memory: "64Mi" }, limits: { memory: "64Mi" } }

/** The Pod's own report of a trouble, as kubelet or scheduler wrote it. */
type Report = (pod: Pod, server: ContainerStatus | undefined) => boolean

/** A kind of failing start, and what must be told of it. */
export type Kind = {
  readonly spec: Fields
  readonly reason: ReadyReason
  /** What people must read: what is wrong, and what to do. */
  readonly says: readonly RegExp[]
  /** From here on the time counts; default the instance itself, for what the API server refuses before there is a Pod. */
  readonly report?: Report
  /** Seconds after the report within which it is told; default 2. */
  readonly within?: number
  /** Seconds after the report within which it counts as failed, where that comes later; none = it may still start. */
  readonly fails?: number
}

const waits =
  (reason: RegExp): Report =>
  (_, server) =>
    reason.test(server?.state?.waiting?.reason ?? "")
const ended: Report = (_, server) => (server?.state?.terminated ?? server?.lastState?.terminated) !== undefined
const runs: Report = (_, server) => server?.state?.running !== undefined

/** Every kind of failing start, by the name of its instance. */
export const kinds: Readonly<Record<string, Kind>> = {
  "bad-image": {
    spec: { image: "registry.invalid/nothing:1" },
    reason: "ErrImagePull",
    says: [/registry\.invalid\/nothing:1 cannot be pulled/, /check its name, its tag and imagePullSecrets/],
    report: waits(/ImagePull/),
    fails: 12,
  },
  "missing-secret": {
    spec: { secretName: "not-there" },
    reason: "CreateContainerConfigError",
    says: [/secret "not-there" not found/, /Create that Secret, or correct secretName/],
    report: waits(/CreateContainerConfigError/),
    fails: 2,
  },
  crash: {
    spec: { command: crash, secretName: "canary" },
    reason: "CrashLoop",
    says: [/exit code 3/, /Look into its log/],
    report: ended,
    fails: 12,
  },
  oom: {
    spec: { command: greedy, resources: memory },
    reason: "OOMKilled",
    says: [/more memory than its limit of 64Mi/, /raise resources\.limits\.memory/],
    report: ended,
    fails: 12,
  },
  unschedulable: {
    spec: { resources: { requests: { memory: "900Ti" }, limits: { memory: "900Ti" } } },
    reason: "Unschedulable",
    says: [/No node can take the Pod: .*Insufficient memory/, /add a node, free room, or ask for less in resources/],
    report: ({ status }) => status?.conditions?.some(({ reason }) => reason === "Unschedulable") === true,
  },
  "port-closed": {
    spec: { env: [{ name: "LISTEN_PORT", value: "9999" }] },
    reason: "PortClosed",
    says: [/Nothing listens on port 8080/, /must listen there, on all addresses/],
    report: runs,
    within: 12,
  },
  "bad-probe-path": {
    spec: { env: [{ name: "ROOT_STATUS", value: "404" }], healthPath: "/" },
    reason: "HealthPathNotFound",
    says: [/answers 404 at \//, /correct healthPath/],
    report: runs,
    within: 12,
    fails: 12,
  },
  "pod-security": {
    spec: { security: { runAsUser: 0 } },
    reason: "PodForbidden",
    says: [/violates PodSecurity/, /change the target, or the rule/],
    within: 5,
    fails: 5,
  },
  quota: {
    spec: { resources: { requests: { cpu: "90" }, limits: { cpu: "90" } } },
    reason: "QuotaExceeded",
    says: [/exceeded quota: room/, /raise it, or free some of it/],
    within: 5,
    fails: 5,
  },
  "user-not-allowed": {
    spec: { image: images.root.name },
    reason: "ImageUserNotAllowed",
    says: [/will run as root/, /set security\.runAsUser to a numeric id other than 0/],
    report: waits(/CreateContainerConfigError/),
    fails: 2,
  },
}
