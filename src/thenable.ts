/**
 * Promises of any realm and library: under Jest, or in a vm context, `instanceof Promise` knows only some of them.
 * A getter `then` that throws throws here too, as it would reject a promise that is resolved with it.
 */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    (typeof value === 'object' || typeof value === 'function') &&
    value !== null &&
    typeof (value as { then?: unknown }).then === 'function'
  )
}

/** `next` of what may be a promise; at once where it is none. */
export function andThen<From, To>(
  from: From | Promise<From>,
  next: (from: From) => To | Promise<To>,
): To | Promise<To> {
  return from instanceof Promise ? from.then(next) : next(from)
}
