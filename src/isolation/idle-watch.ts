/**
 * When a handler in a worker waits for nothing but its runner. A test with virtual time wants to know: then its clock may
 * move on, and while a timer, a file or a hash is being waited for it may not.
 *
 * Let go by its runner, the worker would end as soon as nothing goes on in it: just before that, Node says `beforeExit`.
 */
import { isMainThread, MessagePort } from 'node:worker_threads'

interface Hold {
  ref(): void
  unref(): void
}

export class IdleWatch {
  readonly #holds: readonly Hold[]

  /** Made before there is anything of a handler's: what holds the worker now is its runner. */
  constructor(tell: () => void) {
    this.#holds = isMainThread ? [process.channel as Hold] : openPorts()
    process.on('beforeExit', () => {
      this.hold()
      tell()
    })
  }

  /** Watches until it has told, or is held again. */
  letGo(): void {
    for (const hold of this.#holds) hold.unref()
  }

  hold(): void {
    for (const hold of this.#holds) hold.ref()
  }
}

/** Node has no other way to them: they are tinypool's. Where it has none at all, nothing is ever told. */
function openPorts(): readonly Hold[] {
  const { _getActiveHandles: handles } = process as unknown as { readonly _getActiveHandles?: () => unknown[] }
  return handles?.().filter((each) => each instanceof MessagePort) ?? []
}
