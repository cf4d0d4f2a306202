/** Certificates for tests, without any program besides Node: a CA of one's own, and what it signs (RFC 5280, X.690). */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto"

/** A key and its certificate, in PEM. */
export type Certified = { readonly key: string; readonly cert: string }

/** An authority that a test has made. */
export type TestCA = {
  /** Its own certificate, in PEM. */
  readonly cert: string
  /** Signs a certificate for host names and IPv4 addresses; `days` = how long it is valid, negative = it has ended. */
  issue(hosts: readonly string[], days?: number): Certified
}

/** An element of DER: its tag, its length, and what is in it. */
const der = (tag: number, ...content: readonly Buffer[]): Buffer => {
  const body = Buffer.concat(content)
  const bytes: number[] = []
  for (let rest = body.length; rest > 0; rest >>= 8) bytes.unshift(rest & 0xff)
  const length = body.length < 128 ? [body.length] : [0x80 | bytes.length, ...bytes]
  return Buffer.concat([Buffer.of(tag, ...length), body])
}

const sequence = (...content: readonly Buffer[]): Buffer => der(0x30, ...content)
const oid = (hex: string): Buffer => der(0x06, Buffer.from(hex, "hex"))
/** Whole bytes of bits. */
const bits = (bytes: Buffer): Buffer => der(0x03, Buffer.of(0), bytes)

/** UTCTime */
const time = (at: number): Buffer => {
  const digits = new Date(at).toISOString().replace(/[-:T]/g, "")
  return der(0x17, Buffer.from(`${digits.slice(2, 14)}Z`))
}

/** ecdsa-with-SHA256 */
const algorithm = sequence(oid("2a8648ce3d040302"))

/** A name that has only a CN. */
const nameOf = (words: string): Buffer =>
  sequence(der(0x31, sequence(oid("550403"), der(0x0c, Buffer.from(words, "utf8")))))

const extension = (id: string, isCritical: boolean, value: Buffer): Buffer =>
  sequence(oid(id), ...(isCritical ? [der(0x01, Buffer.of(0xff))] : []), der(0x04, value))

/** subjectAltName: a dNSName or an iPAddress. */
const alternative = (host: string): Buffer =>
  /^\d+(\.\d+){3}$/.test(host) ? der(0x87, Buffer.from(host.split(".").map(Number))) : der(0x82, Buffer.from(host))

const pem = (bytes: Buffer): string =>
  `-----BEGIN CERTIFICATE-----\n${bytes.toString("base64").replace(/.{64}/g, "$&\n").trimEnd()}\n-----END CERTIFICATE-----\n`

type Parts = {
  readonly issuer: string
  readonly subject: string
  readonly publicKey: KeyObject
  readonly signWith: KeyObject
  readonly extensions: readonly Buffer[]
  readonly days: number
}

const day = 24 * 3_600_000

const certify = ({ issuer, subject, publicKey, signWith, extensions, days }: Parts): string => {
  const now = Date.now()
  const body = sequence(
    der(0xa0, der(0x02, Buffer.of(2))),
    der(0x02, Buffer.concat([Buffer.of(1), randomBytes(15)])),
    algorithm,
    nameOf(issuer),
    sequence(time(now - 30 * day), time(now + days * day)),
    nameOf(subject),
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(...extensions)),
  )
  return pem(sequence(body, algorithm, bits(sign("sha256", body, signWith))))
}

const makeKeys = () => generateKeyPairSync("ec", { namedCurve: "P-256" })

/** Makes an authority. */
export const makeCA = (name = `test CA ${randomBytes(4).toString("hex")}`): TestCA => {
  const own = makeKeys()
  const forCA = [
    extension("551d13", true, sequence(der(0x01, Buffer.of(0xff)))),
    // keyUsage: keyCertSign
    extension("551d0f", true, der(0x03, Buffer.of(2, 0x04))),
  ]
  const common = { issuer: name, signWith: own.privateKey }
  const cert = certify({ ...common, subject: name, publicKey: own.publicKey, extensions: forCA, days: 30 })
  return {
    cert,
    issue: (hosts, days = 30) => {
      const { publicKey, privateKey } = makeKeys()
      const extensions = [extension("551d11", false, sequence(...hosts.map(alternative)))]
      return {
        key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
        cert: certify({ ...common, subject: hosts[0] ?? "", publicKey, extensions, days }),
      }
    },
  }
}
