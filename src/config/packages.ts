import { z } from "zod"
import { registryUrlPattern } from "../api/kinds/package.ts"

const url = (description: string) =>
  z
    .union([z.literal(""), z.string().max(1024).regex(registryUrlPattern)])
    .default("")
    .meta({ description, allowed: "an http(s) URL without user, query and fragment, or empty" })

const secretName = (description: string) =>
  z
    .union([
      z.literal(""),
      z
        .string()
        .max(253)
        .regex(/^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$/),
    ])
    .default("")
    .meta({ description, allowed: "the name of a Secret, or empty" })

const runner = (image: string, tools: string, registry: string, secretOf: string) =>
  z.strictObject({
    image: z
      .string()
      .min(1)
      .max(1024)
      .default(image)
      .describe(`Image in which packages are installed and run: it needs ${tools}. A digest makes starts repeatable.`),
    registry: url(registry),
    secret: secretName(
      `Name of a Secret in the namespace of the instances, with ${secretOf} for this registry. Only the installing init container gets it.`,
    ),
  })

/** `kubernetes.packages`: how published packages become servers. */
export const packages = z.strictObject({
  npm: runner(
    "node:24-slim",
    "node 22.19 or newer and npm",
    "URL of the npm registry; empty = npm's own default.",
    "token, or username and password,",
  ).prefault({}),
  pypi: runner(
    "ghcr.io/astral-sh/uv:python3.13-trixie-slim",
    "uv and python3",
    "URL of the simple index of Python packages; empty = uv's own default.",
    "token, or username and password,",
  ).prefault({}),
  registries: z
    .array(
      z.strictObject({
        url: z.string().max(1024).regex(registryUrlPattern, "must be an http(s) URL without user, query and fragment"),
        secret: z
          .string()
          .max(253)
          .regex(/^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$/, "must be the name of a Secret"),
      }),
    )
    .max(100)
    .default([])
    .describe(
      "Further registries that targets may name by registryBaseUrl, each with the name of the Secret with its token, or username and password.",
    ),
  cache_claim: z
    .union([
      z.literal(""),
      z
        .string()
        .max(253)
        .regex(/^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$/),
    ])
    .default("")
    .meta({
      description:
        "Name of a PersistentVolumeClaim in the namespace of the instances that keeps what was installed; all nodes must be able to mount it. Empty = every Pod installs anew.",
      allowed: "the name of a PersistentVolumeClaim, or empty",
    }),
})
