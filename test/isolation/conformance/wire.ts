/**
 * What goes between a test and its puppets: orders there, reports back, each a frame on a socket. The test's thread does
 * not own the sockets, since it waits for answers with its event loop held: a thread of its own does, the link.
 */

import type { Identity } from './workers.js'

/** What a puppet is to do; each is answered. */
export type Order =
  /** A property of the call's context. */
  | { readonly what: 'read'; readonly property: string }
  | { readonly what: 'progress' | 'save' | 'log'; readonly values: Uint8Array }
  /** `values`: a name, and true for a function, which is in the test and is called there, or what was given instead. */
  | { readonly what: 'step'; readonly values: Uint8Array }
  /** What the function of that step came to. */
  | { readonly what: 'worked'; readonly step: number; readonly thrown: boolean; readonly value: Uint8Array }
  /** Whether the signal is aborted, and why; `listen`: and tell, once it is. */
  | { readonly what: 'signal' | 'listen' | 'throwIfAborted' }
  /** End the call. */
  | { readonly what: 'return' | 'throw'; readonly value: Uint8Array }
  /** Answer, and nothing else: what was sent before has arrived. */
  | { readonly what: 'ping' }

export type OrderTo = Order & { readonly order: number; readonly call: number }

export type Report =
  | {
      readonly type: 'called'
      readonly call: number
      readonly definition: number
      readonly input: Uint8Array
      /** What the module's own `context.run` was given. */
      readonly surroundings: Uint8Array
      readonly id: string
      readonly name: string
      readonly attempt: number
      readonly from: Identity
    }
  | { readonly type: 'answer'; readonly order: number; readonly thrown: boolean; readonly value: Uint8Array }
  /** The function of a step is to be called. */
  | { readonly type: 'work'; readonly step: number }
  | { readonly type: 'aborted'; readonly call: number; readonly reason: Uint8Array }

/** From the test's thread to the link. */
export interface ToLink {
  readonly worker: number
  /** The test's thread is held until the answer is here. */
  readonly held: boolean
  readonly bytes: Uint8Array
}

/** From the link to the test's thread. */
export type FromLink =
  | { readonly type: 'open' }
  | { readonly type: 'report'; readonly worker: number; readonly bytes: Uint8Array }
  | { readonly type: 'gone'; readonly worker: number }

/** What the link is made with. */
export interface LinkData {
  /** Where puppets connect: a path, or a pipe on Windows. */
  readonly address: string
  /** 1 when the answer is there that the test's thread is held for. */
  readonly lock: Int32Array
}

/** Cuts a stream into frames. A frame: its length, whether it is of a held thread, its bytes. */
export class Frames {
  #rest: Buffer = Buffer.alloc(0)

  static of(bytes: Uint8Array, held: boolean): Buffer {
    const frame = Buffer.alloc(5 + bytes.length)
    frame.writeUInt32LE(bytes.length, 0)
    frame.writeUInt8(held ? 1 : 0, 4)
    frame.set(bytes, 5)
    return frame
  }

  *of(chunk: Buffer): Generator<{ readonly bytes: Uint8Array; readonly held: boolean }> {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    while (this.#rest.length >= 5) {
      const end = 5 + this.#rest.readUInt32LE(0)
      if (this.#rest.length < end) return
      const frame = { bytes: Uint8Array.from(this.#rest.subarray(5, end)), held: this.#rest.readUInt8(4) === 1 }
      this.#rest = this.#rest.subarray(end)
      yield frame
    }
  }
}
