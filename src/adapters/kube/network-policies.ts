import { isIPv6 } from "node:net"
import type { Namespaces } from "./rbac.ts"

/** IPv4 networks that are no part of the public internet, or that belong to the machine or its cloud. */
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
  // Azure's agent of the host, at an address that looks public
  "168.63.129.16/32",
  // tests of networks, multicast, reserved
  "198.18.0.0/15",
  "224.0.0.0/4",
  "240.0.0.0/4",
]

/** What is public in IPv6: fc00::/7, fe80::/10, loopback, IPv4 in IPv6 and NAT64 are outside of it. */
const publicIPv6 = "2000::/3"

/** 6to4 and Teredo: in their addresses stand IPv4 ones, private ones too. */
const tunnelsIPv6: readonly string[] = ["2002::/16", "2001::/32"]

/** Ports at which API servers answer behind their Service; a policy cannot name them otherwise than by port. */
const apiServerPorts: readonly number[] = [443, 6443, 8443, 16443]

type Port = { readonly protocol: "TCP" | "UDP"; readonly port?: number | string }

type Peer = {
  readonly namespaceSelector?: Selector
  readonly podSelector?: Selector
  readonly ipBlock?: { readonly cidr: string; readonly except: readonly string[] }
}

type Selector = { readonly matchLabels?: Readonly<Record<string, string>> }

/** A NetworkPolicy as `kubectl apply` takes it, and why it is there. */
export type ExplainedPolicy = { readonly why: string; readonly policy: ReturnType<typeof toPolicy> }

type Spec = {
  readonly podSelector: Selector
  readonly policyTypes: readonly ("Ingress" | "Egress")[]
  /** Without `from` everybody may come. */
  readonly ingress?: readonly { readonly from?: readonly Peer[]; readonly ports: readonly Port[] }[]
  /** Without `to` every address is meant. */
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
 * Port 53 of whatever address: the cluster's DNS may be Pods, a cache at 169.254.20.10 or at its Service's address, a
 * process of the node, or a cloud's. OpenShift's Pods listen at 5353, which is what a policy sees.
 */
const dns: NonNullable<Spec["egress"]> = [
  { ports: [{ protocol: "UDP", port: 53 }, ...tcp(53)] },
  {
    to: [{ namespaceSelector: namespaceNamed("openshift-dns"), podSelector: {} }],
    ports: [{ protocol: "UDP", port: 5353 }, ...tcp(5353)],
  },
]

/** Whoever scrapes metrics: Pods of the namespaces that say so by a label, as kubebuilder's projects have it. */
const metrics: NonNullable<Spec["ingress"]> = [
  { from: [{ namespaceSelector: { matchLabels: { metrics: "enabled" } } }], ports: tcp("metrics") },
]

/** True if a network is a part of the public IPv6 addresses, so that it can be excepted from them. */
const isPublicIPv6 = (cidr: string): boolean => /^[23][0-9a-f]{3}:/i.test(cidr)

const instancePolicies = ({ own, instances }: Namespaces, clusterCidrs: readonly string[]): ExplainedPolicy[] => [
  {
    why: "Instances: called by the gateway alone; out to DNS and to public addresses, nowhere else.",
    policy: toPolicy("reflow-instances", instances, {
      podSelector: {},
      policyTypes: ["Ingress", "Egress"],
      ingress: [
        // both in one element: a Pod of this name in another namespace is a stranger
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
    why: "Gateway: clients from everywhere, scrapers; out to instances, DNS, the API server, and issuers over HTTPS.",
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
    why: "Operator: scrapers; out to DNS and the API server.",
    policy: toPolicy("reflow-operator", own, {
      podSelector: podsNamed("reflow-operator"),
      policyTypes: ["Ingress", "Egress"],
      ingress: [...metrics],
      egress: [...dns, { ports: tcp(...apiServerPorts) }],
    }),
  },
]

/**
 * Who may talk to whom, as NetworkPolicies; the kubelet's probes pass in every network that enforces them.
 *
 * @param clusterCidrs `kubernetes.cluster_cidrs`: networks that instances may not reach although they are public.
 */
export const toNetworkPolicies = (
  namespaces: Namespaces,
  clusterCidrs: readonly string[] = [],
): readonly ExplainedPolicy[] => [...instancePolicies(namespaces, clusterCidrs), ...ownPolicies(namespaces)]

/**
 * What lets instances reach public IPv6 addresses too. Not applied with the others: they are closed unless somebody asks for
 * them, and a network that knows IPv4 alone may stop at such a policy, or enforce none at all.
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
