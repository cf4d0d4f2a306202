import { isIPv6 } from "node:net"
import type { Namespaces } from "./rbac.ts"

/** IPv4 networks that are not part of the public internet, or that belong to the node or its cloud. */
const privateNetworks: readonly string[] = [
  // this host, loopback, IETF protocol assignments
  "0.0.0.0/8",
  "127.0.0.0/8",
  "192.0.0.0/24",
  // private, and shared by carriers and clouds (Alibaba's metadata is in it)
  "10.0.0.0/8",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "100.64.0.0/10",
  // link-local: the metadata address of most clouds
  "169.254.0.0/16",
  // Azure's host agent (WireServer), which has a public address
  "168.63.129.16/32",
  // benchmark tests (RFC 2544), multicast, reserved
  "198.18.0.0/15",
  "224.0.0.0/4",
  "240.0.0.0/4",
]

/** The public IPv6 addresses: without fc00::/7, fe80::/10, loopback, IPv4-mapped addresses and NAT64. */
const publicIPv6 = "2000::/3"

/** 6to4 and Teredo: their addresses contain IPv4 addresses, which may be private. */
const tunnelsIPv6: readonly string[] = ["2002::/16", "2001::/32"]

/** Usual ports of API servers behind their Service; a NetworkPolicy can select an API server only by port. */
const apiServerPorts: readonly number[] = [443, 6443, 8443, 16443]

type Port = { readonly protocol: "TCP" | "UDP"; readonly port?: number | string }

type Peer = {
  readonly namespaceSelector?: Selector
  readonly podSelector?: Selector
  readonly ipBlock?: { readonly cidr: string; readonly except: readonly string[] }
}

type Selector = { readonly matchLabels?: Readonly<Record<string, string>> }

/** A NetworkPolicy for `kubectl apply`, and the reason for it, which becomes a comment. */
export type ExplainedPolicy = { readonly why: string; readonly policy: ReturnType<typeof toPolicy> }

type Spec = {
  readonly podSelector: Selector
  readonly policyTypes: readonly ("Ingress" | "Egress")[]
  /** Without `from`, all sources are allowed. */
  readonly ingress?: readonly { readonly from?: readonly Peer[]; readonly ports: readonly Port[] }[]
  /** Without `to`, all destinations are allowed. */
  readonly egress?: readonly { readonly to?: readonly Peer[]; readonly ports?: readonly Port[] }[]
}

const toPolicy = (name: string, namespace: string, spec: Spec) => ({
  apiVersion: "networking.k8s.io/v1" as const,
  kind: "NetworkPolicy" as const,
  metadata: { name, namespace, labels: { "app.kubernetes.io/part-of": "reflow-gateway" } },
  spec,
})

const tcp = (...ports: readonly (number | string)[]): readonly Port[] =>
  ports.map((port) => ({ protocol: "TCP", port }))

const namespaceNamed = (name: string): Selector => ({ matchLabels: { "kubernetes.io/metadata.name": name } })

const podsNamed = (name: string): Selector => ({ matchLabels: { "app.kubernetes.io/name": name } })

/**
 * Port 53 of every address: the cluster's DNS may run in Pods, in a cache at 169.254.20.10 or at the address of its
 * Service, in a process of the node, or in the cloud. OpenShift's DNS Pods listen on 5353, and policies apply to the
 * Pod's port.
 */
const dns: NonNullable<Spec["egress"]> = [
  { ports: [{ protocol: "UDP", port: 53 }, ...tcp(53)] },
  {
    to: [{ namespaceSelector: namespaceNamed("openshift-dns"), podSelector: {} }],
    ports: [{ protocol: "UDP", port: 5353 }, ...tcp(5353)],
  },
]

/** Metrics: open to Pods of namespaces with the label `metrics: enabled`, as in kubebuilder's projects. */
const metrics: NonNullable<Spec["ingress"]> = [
  { from: [{ namespaceSelector: { matchLabels: { metrics: "enabled" } } }], ports: tcp("metrics") },
]

/** True if a network is a part of {@link publicIPv6}, as Kubernetes requires of an exception. */
const isPublicIPv6 = (cidr: string): boolean => /^[23][0-9a-f]{3}:/i.test(cidr)

const instancePolicies = ({ own, instances }: Namespaces, clusterCidrs: readonly string[]): ExplainedPolicy[] => [
  {
    why: "Instances: in from the gateway only; out to DNS and public addresses only.",
    policy: toPolicy("reflow-instances", instances, {
      podSelector: {},
      policyTypes: ["Ingress", "Egress"],
      ingress: [
        // both selectors in one element, so that a Pod of this name in another namespace is not allowed
        {
          from: [{ namespaceSelector: namespaceNamed(own), podSelector: podsNamed("reflow-gateway") }],
          ports: [{ protocol: "TCP" }],
        },
      ],
      egress: [
        ...dns,
        {
          to: [
            {
              ipBlock: {
                cidr: "0.0.0.0/0",
                except: [...privateNetworks, ...clusterCidrs.filter((cidr) => !isIPv6(cidr.split("/")[0] ?? ""))],
              },
            },
          ],
        },
      ],
    }),
  },
]

const ownPolicies = ({ own, instances }: Namespaces): ExplainedPolicy[] => [
  {
    why: "Gateway: in from all clients and from metrics scrapers; out to instances, DNS, the API server, and issuers over HTTPS.",
    policy: toPolicy("reflow-gateway", own, {
      podSelector: podsNamed("reflow-gateway"),
      policyTypes: ["Ingress", "Egress"],
      ingress: [{ ports: tcp("http") }, ...metrics],
      egress: [
        { to: [{ namespaceSelector: namespaceNamed(instances), podSelector: {} }], ports: [{ protocol: "TCP" }] },
        ...dns,
        { ports: tcp(...apiServerPorts) },
      ],
    }),
  },
  {
    why: "Operator: in from metrics scrapers only; out to DNS, the API server, and servers of remote targets over HTTPS, which it probes.",
    policy: toPolicy("reflow-operator", own, {
      podSelector: podsNamed("reflow-operator"),
      policyTypes: ["Ingress", "Egress"],
      ingress: [...metrics],
      egress: [...dns, { ports: tcp(...apiServerPorts) }],
    }),
  },
]

/**
 * The NetworkPolicies of both namespaces. They need no rule for the kubelet's probes, which are always allowed.
 *
 * @param clusterCidrs `kubernetes.cluster_cidrs`: networks that instances must not reach although their addresses are
 * public.
 */
export const toNetworkPolicies = (
  namespaces: Namespaces,
  clusterCidrs: readonly string[] = [],
): readonly ExplainedPolicy[] => [...instancePolicies(namespaces, clusterCidrs), ...ownPolicies(namespaces)]

/**
 * A NetworkPolicy that lets instances reach public IPv6 addresses too. Not applied with the others: IPv6 stays closed
 * unless an administrator applies this policy, and a network plugin without IPv6 may fail on it or then enforce no
 * policy at all.
 */
export const toIPv6Policy = ({ instances }: Namespaces, clusterCidrs: readonly string[] = []): ExplainedPolicy => ({
  why: "Lets instances reach public IPv6 addresses, for clusters with IPv6.",
  policy: toPolicy("reflow-instances-ipv6", instances, {
    podSelector: {},
    policyTypes: ["Egress"],
    egress: [
      { to: [{ ipBlock: { cidr: publicIPv6, except: [...tunnelsIPv6, ...clusterCidrs.filter(isPublicIPv6)] } }] },
    ],
  }),
})
