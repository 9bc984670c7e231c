/**
 * One worker from its start until nothing of it is left: how it ended, of what, and whom it blames.
 *
 * tinypool tells none of this. It hears of a thread's error and not of its exit, does not wait for what a child has said
 * before it died, and lets go of a child's output when the child exits, not when all has been read.
 */
import type { ChildProcess } from 'node:child_process'
import type { TinypoolWorker } from 'tinypool'
import { after, systemClock } from '../clock.js'
import { revived } from './carried-error.js'
import { CUT_OFF, type LastWords } from './protocol.js'

export interface Life {
  /** Resolves when it has ended, and all that it said before has been heard. */
  readonly gone: Promise<void>
  readonly isOver: boolean
  /** It has called a handler: it has started well, and whatever ends it now is no fault of its start. */
  hasBegun: boolean
  /** What it says when it ends by itself. */
  lastWords: LastWords | undefined
  readonly ranOutOfMemory: boolean
  /** The error that nobody caught, and that ended it. */
  readonly uncaught: unknown
  /** How it ended, in words that follow its name: `ended with code 1`. */
  readonly how: string
  /** It holds this process open. */
  hold(): void
  letGo(): void
  /** Ends it, whatever it does. */
  kill(): void
}

/** What a thread's exit is to tinypool, which hears of errors only. */
class Exited extends Error {}

export class ThreadLife implements Life {
  readonly gone: Promise<void>
  isOver = false
  hasBegun = false
  lastWords: LastWords | undefined
  readonly #itself: TinypoolWorker
  #error: unknown
  #code: number | undefined

  /** @param listen takes what is still underway */
  constructor(itself: TinypoolWorker, isKept: () => boolean, listen: () => void) {
    this.#itself = itself
    itself.on('error', (error) => {
      if (!(error instanceof Exited)) this.#error ??= error
    })
    this.gone = new Promise((resolve) => {
      itself.once('exit', (code: number) => {
        this.#code = code
        this.isOver = true
        if (isKept()) itself.emit('error', new Exited()) // before it is asked to end what has ended
        listen()
        resolve()
      })
    })
  }

  get ranOutOfMemory(): boolean {
    return (this.#error as { code?: unknown } | undefined)?.code === 'ERR_WORKER_OUT_OF_MEMORY'
  }

  get uncaught(): unknown {
    return this.#error
  }

  get how(): string {
    return `ended with code ${this.#code}`
  }

  hold(): void {
    this.#itself.ref?.()
  }

  letGo(): void {
    this.#itself.unref?.()
  }

  kill(): void {
    if (!this.isOver) this.#itself.terminate().catch(() => {})
  }
}

/** ms that are waited for the rest of a child's output: what it has started itself may hold it open for ever. */
const READING = 250
/** ms that a child without a channel has to end by itself. */
const ENDING = 500
/** Of what a child writes to stderr, so many characters are remembered: a line of V8's. */
const LINE = 256
const OUT_OF_MEMORY = /fatal (?:error:.*|javascript |process )(?:out of memory|oom)/i

export class ChildLife implements Life {
  readonly gone: Promise<void>
  isOver = false
  hasBegun = false
  lastWords: LastWords | undefined
  readonly #child: ChildProcess
  #tail = ''
  #saidOutOfMemory = false
  #letGo = false
  #end: { readonly code: number | null; readonly signal: string | null } | undefined
  #error: unknown

  constructor(itself: TinypoolWorker) {
    const { process: child } = itself as unknown as { process: ChildProcess }
    this.#child = child
    child.stderr?.on('data', (chunk) => this.#read(chunk))
    child.once('disconnect', () => this.#isCutOff())
    this.gone = this.#isGone(child)
  }

  async #isGone(child: ChildProcess): Promise<void> {
    const heard = new Promise<void>((resolve) => child.once('disconnect', resolve))
    const closed = new Promise<void>((resolve) => child.once('close', () => resolve()))
    await new Promise<void>((resolve) => {
      child.once('exit', (code, signal) => {
        this.isOver = true
        this.#end = { code, signal }
        for (const from of ['stdout', 'stderr'] as const) passOnRest(child, from)
        resolve()
      })
      child.on('error', (error) => {
        if (child.pid !== undefined) return // told again by its exit
        this.isOver = true
        this.#error = error
        resolve()
      })
    })
    if (this.#end === undefined) return // it was never there
    child.channel?.ref() // tinypool took its hold on this process away
    if (child.connected) await heard
    let stop = (): void => {}
    const late = new Promise<void>((resolve) => {
      const alarm = after(systemClock, READING, resolve)
      stop = () => alarm.cancel()
    })
    await Promise.race([closed, late])
    stop()
  }

  /** It is about to end; or it has closed its channel, and can tell nothing any more. */
  #isCutOff(): void {
    if (this.isOver) return
    const alarm = after(systemClock, ENDING, () => {
      this.#letGo = true
      this.kill()
    })
    this.#child.once('exit', (code) => {
      alarm.cancel()
      this.#letGo ||= code === CUT_OFF && this.lastWords === undefined
    })
  }

  #read(chunk: unknown): void {
    this.#tail += chunk
    this.#saidOutOfMemory ||= OUT_OF_MEMORY.test(this.#tail)
    this.#tail = this.#tail.slice(-LINE)
  }

  get ranOutOfMemory(): boolean {
    const { code, signal } = this.#end ?? {}
    return this.#saidOutOfMemory && (signal !== null || code === 134)
  }

  get uncaught(): unknown {
    return this.#error ?? (this.lastWords?.error && revived(this.lastWords.error))
  }

  get how(): string {
    if (this.#end === undefined) return 'could not be started'
    if (this.#letGo) return 'closed its channel'
    const { code, signal } = this.#end
    return signal === null ? `ended with code ${code}` : `was ended by ${signal}`
  }

  hold(): void {
    this.#child.ref()
  }

  letGo(): void {
    this.#child.unref()
  }

  kill(): void {
    if (!this.isOver) this.#child.kill('SIGKILL')
  }
}

/** tinypool lets go of it now, with what is not read yet. */
function passOnRest(child: ChildProcess, name: 'stdout' | 'stderr'): void {
  const from = child[name]
  const to = process[name]
  if (to.getMaxListeners() > 1) to.setMaxListeners(to.getMaxListeners() - 1) // tinypool raises it for each child
  if (from === null || from.readableEnded) return
  from.unpipe(to)
  from.on('data', (chunk) => to.write(chunk))
  from.resume()
}
