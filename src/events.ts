/**
 * Events: an EventEmitter whose listeners cannot harm each other.
 *
 * eventemitter3 lets a listener that throws stop those after it, and knows nothing of promises. Here each listener is
 * wrapped when it is added: what it throws or rejects with becomes an `error`, and the others still run.
 */
import { EventEmitter } from 'eventemitter3'
import { copyJson } from './json.js'
import type { Hold, TaskRecord } from './record.js'
import { isThenable } from './thenable.js'

/** The events of a runner: what this process did, after it was persisted, in order for one task. */
export interface RunnerEvents {
  /** The engine has the task. */
  submitted: (record: TaskRecord) => void
  /** An attempt begins. */
  started: (record: TaskRecord) => void
  /** The handler told how far it is. */
  progress: (record: TaskRecord) => void
  /** It will run again, at `record.runAt`. */
  retrying: (record: TaskRecord) => void
  succeeded: (record: TaskRecord) => void
  failed: (record: TaskRecord) => void
  cancelled: (record: TaskRecord) => void
  /** Its process died or lost it; it was recovered. */
  stalled: (record: TaskRecord) => void
  /** Its handler did not end within `cancelGrace` of being asked to. */
  unresponsive: (record: TaskRecord) => void
  /**
   * No task of this name starts until `until` (epoch ms), because of `error`; then one goes first as a probe. Told by the
   * process in which an attempt asked for it; again with a later `until` if the hold is prolonged.
   */
  held: (hold: Hold) => void
  /** The probe has answered: its tasks start again. */
  unheld: (hold: { readonly name: string }) => void
  /** Nothing is queued, scheduled or running any more. */
  idle: () => void
  /** A fault that no caller could be told of: of a listener, of the engine, of an output that could not be kept. */
  error: (error: unknown, record?: TaskRecord) => void
}

/** A listener as the emitter types it. */
type Heard<Name extends keyof RunnerEvents> = EventEmitter.EventListener<RunnerEvents, Name>
type Listener = (...args: never[]) => unknown

/** Calls `listener`; what it throws or rejects with goes to `failed`. */
export function guarded(listener: () => unknown, failed: (error: unknown) => void): void {
  try {
    const result = listener()
    if (isThenable(result)) Promise.resolve(result).catch(failed)
  } catch (error) {
    failed(error)
  }
}

/** An EventEmitter that isolates its listeners. */
export abstract class IsolatedEmitter extends EventEmitter<RunnerEvents> {
  /** A listener as it was given → as it is called; those of `error` apart. */
  readonly #isolated: WeakMap<Listener, Listener> = new WeakMap()
  readonly #ofError: WeakMap<Listener, Listener> = new WeakMap()

  override on<Name extends keyof RunnerEvents>(event: Name, listener: Heard<Name>, context?: unknown): this {
    return super.on(event, this.#isolate(event, listener), context)
  }

  override addListener<Name extends keyof RunnerEvents>(event: Name, listener: Heard<Name>, context?: unknown): this {
    return this.on(event, listener, context)
  }

  override once<Name extends keyof RunnerEvents>(event: Name, listener: Heard<Name>, context?: unknown): this {
    return super.once(event, this.#isolate(event, listener), context)
  }

  override off<Name extends keyof RunnerEvents>(
    event: Name,
    listener?: Heard<Name>,
    context?: unknown,
    once?: boolean,
  ): this {
    return super.off(event, listener && this.#isolate(event, listener), context, once)
  }

  override removeListener<Name extends keyof RunnerEvents>(
    event: Name,
    listener?: Heard<Name>,
    context?: unknown,
    once?: boolean,
  ): this {
    return this.off(event, listener, context, once)
  }

  /** A fault goes to `error`; one that nobody hears goes to `unheard`. */
  protected fault(error: unknown, record?: TaskRecord): void {
    if (!this.emit('error', error, record)) this.unheard(error, record)
  }

  protected abstract unheard(error: unknown, record: TaskRecord | undefined): void

  #isolate<Given extends Listener>(event: keyof RunnerEvents, given: Given): Given {
    const ofError = event === 'error'
    const known = ofError ? this.#ofError : this.#isolated
    const isolated = known.get(given)
    if (isolated !== undefined) return isolated as Given
    const emitter = this
    const failed = (error: unknown, [first, second]: readonly unknown[]): void => {
      // A listener of `error` that fails itself is not told again: that would never end.
      if (ofError) emitter.unheard(error, second as TaskRecord | undefined)
      else emitter.fault(error, isRecord(first) ? first : undefined)
    }
    const made: Listener = function (this: unknown, ...args) {
      try {
        // Of several listeners each gets a record of its own: what one does to it, the others do not see.
        const own = (arg: never): never => (ofError && !isRecord(arg) ? arg : copyJson(arg))
        const result = given.apply(this, emitter.listenerCount(event) > 1 ? args.map(own) : args)
        if (isThenable(result)) Promise.resolve(result).catch((error) => failed(error, args))
      } catch (error) {
        failed(error, args)
      }
    }
    known.set(given, made)
    known.set(made, made) // `once` removes what it was given: the listener as it is called
    return made as Given
  }
}

function isRecord(arg: unknown): arg is TaskRecord {
  return typeof arg === 'object' && arg !== null && Object.hasOwn(arg, 'attempts')
}
