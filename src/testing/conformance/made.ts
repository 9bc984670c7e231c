/**
 * Values that can be made again elsewhere. Whoever runs these cases with handlers in another thread has to carry there
 * what a handler throws or returns; a proxy, a closure, a promise cannot be carried, but its maker can, as source.
 */

/** How a value was made. */
export interface Maker {
  /** An expression: a function that uses nothing but its parameters and what every realm has. */
  readonly source: string
  /** JSON. */
  readonly parameters: readonly unknown[]
}

const makers: WeakMap<WeakKey, Maker> = new WeakMap()

/** What `make` makes of `parameters`, remembering how. */
export function made<Value extends WeakKey, Parameters extends readonly unknown[]>(
  make: (...parameters: Parameters) => Value,
  ...parameters: Parameters
): Value {
  const value = make(...parameters)
  makers.set(value, { source: make.toString(), parameters })
  return value
}

/** How `value` was made, if by `made`. */
export function makerOf(value: WeakKey): Maker | undefined {
  return makers.get(value)
}
