/** Whom a Pod reaches: asked from inside of it, by the Node that its image has. */
import { kubectl } from "./cluster.ts"
import { images } from "./images.ts"

/** Somebody whom a Pod may call. */
export type Address = {
  /** An http(s) URL, whose certificate is not checked; or a name that DNS must know, as `dns:NAME`. */
  readonly url: string
  /** What stands in the answer, status first: somebody else may accept connections where nobody is. */
  readonly answer: RegExp
}

/** A Pod that asks; one that a test made, or an instance's. */
export type Asker = { readonly namespace: string; readonly pod: string }

const nobody = { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: "RuntimeDefault" } }
const dropped = { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } }

/** Makes a Pod that does nothing but be asked to ask, by the image `dice`; it goes with its namespace. */
export const makeAsker = async (
  namespace: string,
  pod: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<Asker> => {
  const idle = ["/usr/local/bin/node", "-e", "setInterval(() => {}, 1e6)"]
  const container = { name: "asker", image: images.dice.name, command: idle, securityContext: dropped }
  const spec = { containers: [container], securityContext: nobody, terminationGracePeriodSeconds: 0 }
  await kubectl(["apply", "-f", "-"], {
    input: JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata: { name: pod, namespace, labels }, spec }),
  })
  await kubectl(["wait", "--for=condition=Ready", `pod/${pod}`, "-n", namespace, "--timeout=60s"], {
    timeoutMs: 70_000,
  })
  return { namespace, pod }
}

/** Runs in the Pod: asks all at once, gives each two seconds, prints the answers as JSON. */
const script = `
const ask = (url) => new Promise((done) => {
  const { get } = require(url.startsWith("https") ? "https" : "http")
  const asked = get(url, { rejectUnauthorized: false, agent: false, timeout: 2000 }, (response) => {
    let text = ""
    response.on("data", (chunk) => {
      text += chunk
      if (text.length > 100000) asked.destroy()
    })
    response.on("close", () => done(response.statusCode + " " + text.slice(0, 100000)))
  })
  asked.on("timeout", () => asked.destroy())
  asked.on("error", (error) => done(String(error.code)))
  setTimeout(() => asked.destroy(), 2500)
})
const look = (name) => {
  const resolver = new (require("dns").promises.Resolver)({ timeout: 2000, tries: 1 })
  return resolver.resolve4(name).then(String, (error) => String(error.code))
}
const one = (url) => url.startsWith("dns:") ? look(url.slice(4)) : ask(url)
const urls = JSON.parse(process.argv[1])
Promise.all(urls.map(one)).then((answers) => {
  process.stdout.write(JSON.stringify(answers))
  process.exit(0)
})`

/** Names of those whose answer reaches the Pod, of the addresses that are given by name. */
export const reached = async (
  { namespace, pod }: Asker,
  addresses: Readonly<Record<string, Address>>,
): Promise<string[]> => {
  const urls = Object.values(addresses).map(({ url }) => url)
  const run = ["exec", pod, "-n", namespace, "--", "/usr/local/bin/node", "-e", script, JSON.stringify(urls)]
  const answers = JSON.parse(await kubectl(run)) as string[]
  return Object.entries(addresses)
    .filter(([, { answer }], index) => answer.test(answers[index] ?? ""))
    .map(([name]) => name)
}
