import { BlockList, isIPv6 } from "node:net"
import { describe, expect, test } from "vitest"
import { toIPv6Policy, toNetworkPolicies } from "../../../../src/adapters/kube/network-policies.ts"
import { generatedFiles, namespaces, readClusterCidrs } from "../../../../src/generate.ts"

const family = (address: string): "ipv4" | "ipv6" => (isIPv6(address) ? "ipv6" : "ipv4")

/** True if a network holds an address. */
const holds = (cidr: string, address: string): boolean => {
  const [net = "", prefix = ""] = cidr.split("/")
  if (family(net) !== family(address)) return false
  const list = new BlockList()
  list.addSubnet(net, Number(prefix), family(net))
  return list.check(address, family(address))
}

const specs = (clusterCidrs: readonly string[] = []) =>
  Object.fromEntries(
    [...toNetworkPolicies(namespaces, clusterCidrs), toIPv6Policy(namespaces, clusterCidrs)].map(({ policy }) => [
      policy.metadata.name,
      policy.spec,
    ]),
  )

const instanceBlocks = (clusterCidrs: readonly string[] = []) =>
  Object.entries(specs(clusterCidrs))
    .filter(([name]) => name.startsWith("reflow-instances"))
    .flatMap(([, { egress = [] }]) => egress)
    .flatMap(({ to = [] }) => to)
    .flatMap(({ ipBlock }) => ipBlock ?? [])

/** True if an instance may call an address at any port. */
const mayCall = (address: string, clusterCidrs: readonly string[] = []): boolean =>
  instanceBlocks(clusterCidrs).some(
    ({ cidr, except }) => holds(cidr, address) && !except.some((each) => holds(each, address)),
  )

describe("an instance", () => {
  test.each(["1.1.1.1", "140.82.121.3", "203.0.113.7", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00::1"])(
    "may call %s, which is public",
    (address) => {
      expect(mayCall(address)).toBe(true)
    },
  )

  test.each([
    ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"],
    ["100.64.0.1", "100.100.100.200", "169.254.169.254", "168.63.129.16", "192.0.0.192"],
    ["127.0.0.1", "0.0.0.0", "198.18.255.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"],
    ["::1", "fc00::1", "fd00:ec2::254", "fe80::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1", "2001::1"],
  ])("may not call %s, %s, %s, %s and the like", (...addresses) => {
    expect(addresses.filter((address) => mayCall(address))).toEqual([])
  })

  test("may not call the networks of kubernetes.cluster_cidrs, of either family", () => {
    const cidrs = ["203.0.113.0/24", "2001:db8::/32", "2::/16", "fd12::/16"]
    const addresses = ["203.0.113.7", "2001:db8::7", "2::7", "fd12::7"]
    expect(addresses.map((address) => mayCall(address))).toEqual([true, true, false, false])
    expect(addresses.filter((address) => mayCall(address, cidrs))).toEqual([])
  })

  test("has exceptions only that the API server takes: each lies inside of its network and is smaller", () => {
    for (const { cidr, except } of instanceBlocks(["203.0.113.0/24", "2001:db8::/32", "2::/16", "fd12::/16"]))
      for (const each of except) {
        const [net = "", prefix] = each.split("/")
        expect(holds(cidr, net), each).toBe(true)
        expect(Number(prefix)).toBeGreaterThan(Number(cidr.split("/")[1]))
      }
  })

  test("is called by Pods that are the gateway's both by namespace and by name", () => {
    const { "reflow-instances": policy } = specs()
    expect(policy?.podSelector).toEqual({})
    expect(policy?.policyTypes).toEqual(["Ingress", "Egress"])
    expect(policy?.ingress).toEqual([
      {
        from: [
          {
            namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespaces.own } },
            podSelector: { matchLabels: { "app.kubernetes.io/name": "reflow-gateway" } },
          },
        ],
        ports: [{ protocol: "TCP" }],
      },
    ])
  })
})

test("the policies that are applied name no IPv6 address: a network that knows IPv4 alone must enforce them", () => {
  expect(JSON.stringify(toNetworkPolicies(namespaces, ["2001:db8::/32"]))).not.toContain("::")
})

test("the ports of health and metrics are open to namespaces that are labelled for it alone", () => {
  for (const name of ["reflow-gateway", "reflow-operator"]) {
    const rules = specs()[name]?.ingress?.filter(({ ports }) => ports.some(({ port }) => port !== "http"))
    expect(rules).toEqual([
      {
        from: [{ namespaceSelector: { matchLabels: { metrics: "enabled" } } }],
        ports: [{ protocol: "TCP", port: "metrics" }],
      },
    ])
  }
})

test("manager/40-network-policies.yaml excepts what its ConfigMap names", () => {
  const configMap = (cidrs: string) => `data:\n  reflow.yaml: |\n    kubernetes: { cluster_cidrs: [${cidrs}] }\n`
  const path = "manager/40-network-policies.yaml"
  expect(generatedFiles(configMap("203.0.113.0/24")).get(path)).toContain("- 203.0.113.0/24\n")
  expect(generatedFiles(configMap("")).get(path)).not.toContain("203.0.113.0/24")
  expect(readClusterCidrs('data:\n  reflow.yaml: "log: {}"\n')).toEqual([])
})
