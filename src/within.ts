/** A handler called within what surrounded the submit: a request id, a trace. */

import type { Json } from './json.js'
import { isThenable } from './thenable.js'

/** Calls `handler` within `value`: the `run` of the app's context. */
export type Restore = (value: Json | undefined, handler: () => unknown) => unknown

/**
 * The handler's own result counts, whatever the app's `context.run` makes of it.
 *
 * @param report what `run` does wrong once it has called the handler
 * @throws what the handler throws; or that `run` did not call it
 */
export function callWithin(
  restore: Restore,
  value: Json | undefined,
  handler: () => unknown,
  report: (error: unknown) => void,
): unknown {
  let call: { readonly result: unknown } | undefined
  const own = (): unknown => {
    if (call !== undefined) return call.result
    throw new Error('context.run did not call the function that it was given')
  }
  try {
    const returned = restore(value, () => {
      try {
        call = { result: handler() }
      } catch (thrown) {
        call = { result: Promise.reject(thrown) }
      }
      return call.result
    })
    if (!isThenable(returned) || returned === call?.result) return own()
    // A `run` that is asynchronous may call it later; what it makes of the handler's result is its own affair.
    const over = Promise.resolve(returned)
    if (call === undefined) return over.then(own)
    over.catch((error) => Promise.resolve(call?.result).then(undefined, (thrown) => thrown === error || report(error)))
  } catch (error) {
    if (call === undefined) throw error
    report(error)
  }
  return own()
}
