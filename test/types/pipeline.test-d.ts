/** Checked by tsc alone: each expected error is a way that must not compile. */
import type { Incoming } from "../../src/gateway/incoming.ts"
import {
  type Admitted,
  type Identified,
  type Keyed,
  type Permitted,
  type Placed,
  pipeline,
  type Read,
  type Step,
} from "../../src/gateway/pipeline.ts"
import { permit } from "../../src/gateway/policy.ts"
import { key } from "../../src/gateway/request-path.ts"
import type { Identity } from "../../src/identity/identity.ts"
import type { SubjectKey } from "../../src/identity/subject-key.ts"

declare const identify: Step<Incoming, Identified>
declare const admit: Step<Identified, Admitted>
declare const read: Step<Admitted, Read>
declare const place: Step<Keyed, Placed>
declare const subjectKeyOf: (target: unknown, identity: Identity) => SubjectKey
declare const sealer: Parameters<typeof key>[0]["sealer"]
declare const input: Read
const keyed = key({ subjectKeyOf, sealer })

// the whole way compiles
pipeline().step(identify).step(admit).step(read).step(permit).step(keyed).step(place)

// @ts-expect-error the policy step is missing
pipeline().step(identify).step(admit).step(read).step(keyed).step(place)

// @ts-expect-error the identity step is missing
pipeline().step(admit)

// @ts-expect-error nothing is placed before it is keyed
pipeline().step(identify).step(admit).step(read).step(permit).step(place)

// @ts-expect-error nobody but the policy makes a permission
const forged: Permitted = { ...input, messages: [], era: "legacy", openStream: false }
void forged

// @ts-expect-error a subject key is not just a text
const subjectKey: SubjectKey = "user:alice"
void subjectKey

// @ts-expect-error a step only adds to what is known
const forgetful: Step<Read, { readonly requestId: string }> = (known) => ({ requestId: known.requestId })
void forgetful
