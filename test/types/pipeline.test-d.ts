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

// Checked by `npm run typecheck`: a line under @ts-expect-error that compiles is an error.

declare const identify: Step<Incoming, Identified>
declare const admit: Step<Identified, Admitted>
declare const read: Step<Admitted, Read>
declare const permit: Step<Read, Permitted>
declare const key: Step<Permitted, Keyed>
declare const place: Step<Keyed, Placed>

export const whole = pipeline().step(identify).step(admit).step(read).step(permit).step(key).step(place)

// @ts-expect-error: without the policy nothing may be keyed
pipeline().step(identify).step(admit).step(read).step(key)

// @ts-expect-error: without an identity nothing may be admitted
pipeline().step(admit)

// @ts-expect-error: the policy reads the body, so it comes after it
pipeline().step(identify).step(admit).step(permit)

// @ts-expect-error: nothing is placed before it is known whose instance it is
pipeline().step(identify).step(admit).step(read).step(permit).step(place)

/** Only the policy can say that a request is permitted: what it adds cannot be written down elsewhere. */
export const forge: Step<Read, Permitted> = (input) =>
  // @ts-expect-error: the brand is missing
  ({ ...input, messages: [], era: "modern" })
