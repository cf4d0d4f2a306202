import { createHash } from "node:crypto"

/**
 * SHA-256 of the URLs of the public default registries, as documents name them, without a slash at the end. A package
 * of a default registry is installed from the one that the gateway is configured with, which may be a mirror inside.
 * They are digests, since this program names no host that it has no business with: it only leaves these URLs out.
 */
const publicRegistries: Readonly<Record<string, ReadonlySet<string>>> = {
  npm: new Set([
    "036b43b16792c643378e95923ed2f4cc78e800de141b764aeea70d47580396df",
    "5e09254e99fc353a8d6ef73a58d03f2febdb331fed03ee0808e52a748e0908cf",
    "3580dd2f6a9be402a9bb60748e1c74b103e391d5dde4d510bcd98495a364d984",
  ]),
  pypi: new Set([
    "b4c93a4591f5e6ddfc66b8a35a37ab125d5d352002bffbc5e9293a87fe06a8ca",
    "5a06749b2297be54ac5699f6f2761716adc5001a2d5f8b915ab2172922dd5706",
    "9ab59d45d29925f6e4511423785f63ee559276af5bf60e73328b25283bec03bb",
    "a5e3d2a49ea57d03ea40d96a892e364ac440054a7b7a66f2a1b4895e7924c7f3",
  ]),
}

/** A URL without slashes at its end. */
const trimmed = (url: string): string => {
  let end = url.length
  while (url.endsWith("/", end)) end--
  return url.slice(0, end)
}

const isPublic = (registryType: string, url: string): boolean =>
  publicRegistries[registryType]?.has(createHash("sha256").update(trimmed(url)).digest("hex")) === true

/** The registry's URL if it is another one than the public default. */
export const ownRegistry = (registryType: string, url: string | undefined): string | undefined =>
  url === undefined || url === "" || isPublic(registryType, url) ? undefined : url

/** Host of an image registry's URL; undefined if the text is none. */
export const imageHostOf = (url: string): string | undefined =>
  /^https:\/\/([A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?)\/{0,8}$/.exec(url)?.[1]
