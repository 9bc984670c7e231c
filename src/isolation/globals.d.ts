/** tinypool's types name the `Worker` of browsers, which Node's types do not have. */
interface Worker {
  readonly resourceLimits?: import('node:worker_threads').ResourceLimits
}
