/** The threads and child processes of this process, each from its start until it has really gone. */
import type { ChildProcess } from 'node:child_process'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Worker } from 'node:worker_threads'

/** What a worker says of itself: the thread, or the process where it is none of ours. */
export interface Identity {
  readonly pid: number
  readonly thread: number
}

interface Known {
  readonly identity: () => string
  /** It has called a handler. */
  greeted: boolean
}

export class Workers {
  readonly #alive: Set<Known> = new Set()
  readonly #thread = (worker: Worker): void => {
    // A thread that has gone has no number.
    const identity = nameOf({ pid: process.pid, thread: worker.threadId })
    this.#follow(worker, () => identity)
  }
  readonly #child = (message: unknown): void => {
    const child = (message as { readonly process: ChildProcess }).process
    this.#follow(child, () => nameOf({ pid: child.pid ?? 0, thread: 0 }))
  }

  /** From now on. */
  watch(): void {
    process.on('worker', this.#thread)
    subscribe('child_process', this.#child)
  }

  close(): void {
    process.off('worker', this.#thread)
    unsubscribe('child_process', this.#child)
  }

  #follow(worker: Worker | ChildProcess, identity: () => string): void {
    const known: Known = { identity, greeted: false }
    this.#alive.add(known)
    ;(worker as ChildProcess).once('exit', () => this.#alive.delete(known))
  }

  /** A worker has called a handler: it is no longer about to. */
  greeted(identity: Identity): void {
    for (const known of this.#alive) if (known.identity() === nameOf(identity)) known.greeted = true
  }

  isAlive(identity: Identity): boolean {
    return [...this.#alive].some((known) => known.identity() === nameOf(identity))
  }

  /** Those that live now. */
  get alive(): ReadonlySet<unknown> {
    return new Set(this.#alive)
  }

  /** Whether one has started, since those of `before`, and has called no handler yet. */
  isStarting(before: ReadonlySet<unknown>): boolean {
    return [...this.#alive].some((known) => !known.greeted && !before.has(known))
  }
}

function nameOf({ pid, thread }: Identity): string {
  return `${pid}/${thread}`
}
