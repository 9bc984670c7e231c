/**
 * What is known of each recipient over all attempts of a task, kept in its saved state: so that nobody who has the
 * message is sent it again, and nobody who may have it is told of as if not.
 */
import type { AttemptRecord } from '../record.js'
import type { TaskContext } from '../task.js'
import type { Mailbox } from './address.js'
import type { RecipientResult } from './report.js'

/** A result, and whether the automatic attempts are done with this recipient. */
interface Entry extends RecipientResult {
  readonly final?: true
}

/** The saved state of an email task. It is stored: fields are added, never changed. */
interface Saved {
  /** By the key of a mailbox. */
  readonly recipients: { readonly [key: string]: Entry }
  /** Manual retries so far: with a new one, what was final is tried again. */
  readonly retries: number
  /** The attempt whose end this is. */
  readonly ended?: number
  /**
   * The attempt that had the server's word to send the message (kept only where `onUnknown` is `'fail'`); gone as soon as
   * its end is kept.
   */
  readonly sending?: number
  /** An attempt ended unseen, and the one after it did not come to say for whom. */
  readonly unseen?: true
}

/** Ends of an attempt that its handler may not have seen. */
const UNSEEN: readonly (AttemptRecord['outcome'] | undefined)[] = ['crashed', 'released', 'cancelled']

export class Ledger {
  readonly #ctx: TaskContext
  readonly #entries: Map<string, Entry>
  /** An attempt may have been at its send when it ended unseen. */
  readonly #interrupted: boolean
  /** Somebody has asked for this attempt: whoever has it not is to get it. */
  readonly #again: boolean
  readonly #unknownIsFinal: boolean

  /** @param onUnknown whether who may have it is tried again */
  constructor(ctx: TaskContext, onUnknown: 'retry' | 'fail') {
    this.#ctx = ctx
    this.#unknownIsFinal = onUnknown === 'fail'
    const { recipients = {}, retries = 0, ended, sending, unseen } = (ctx.saved ?? {}) as Partial<Saved>
    this.#entries = new Map(Object.entries(recipients))
    const { previous } = ctx
    const hasSeen = previous === undefined || !UNSEEN.includes(previous.outcome) || ended === previous.number
    this.#interrupted = this.#unknownIsFinal ? sending !== undefined : unseen === true || !hasSeen
    this.#again = retries !== ctx.retries
    if (this.#again) for (const [key, { final: _, ...result }] of this.#entries) this.#entries.set(key, result)
  }

  /** Begins an attempt for `to`: who may have been sent it when the last one was cut off is `unknown`, and kept so. */
  async begin(to: readonly Mailbox[]): Promise<void> {
    if (!this.#interrupted) return
    for (const { key } of to) {
      const { status, final } = this.#entries.get(key) ?? {}
      if (status === 'sent' || final === true) continue
      this.#entries.set(key, { status: 'unknown', ...(this.#unknownIsFinal && !this.#again && { final: true }) })
    }
    await this.#save({ ended: this.#ctx.attempt - 1 })
  }

  /** This attempt ends before it began: the next one is to know what the last one left. */
  async leave(): Promise<void> {
    if (this.#interrupted) await this.#ctx.save({ ...(this.#ctx.saved as Partial<Saved> | undefined), unseen: true })
  }

  /** Whom to address: who has it not, and is not given up. */
  open(to: readonly Mailbox[]): Mailbox[] {
    return to.filter(({ key }) => {
      const { status, final } = this.#entries.get(key) ?? {}
      return status !== 'sent' && final !== true
    })
  }

  result({ key }: Mailbox): RecipientResult | undefined {
    const entry = this.#entries.get(key)
    if (entry?.final !== true) return entry
    const { final: _, ...result } = entry
    return result
  }

  /** Who has it, or may have it, from an earlier attempt, and is not among `to`; by the key of a mailbox. */
  besides(to: readonly Mailbox[]): { readonly [key: string]: RecipientResult } {
    const keys = new Set(to.map(({ key }) => key))
    const others = [...this.#entries].filter(
      ([key, { status }]) => !keys.has(key) && (status === 'sent' || status === 'unknown'),
    )
    return Object.fromEntries(others.map(([key, { final: _, ...result }]) => [key, result]))
  }

  /** What became of one in this attempt. Who may have it from an earlier one stays `unknown` until it is `sent`. */
  note({ key }: Mailbox, result: RecipientResult, final: boolean): void {
    const stays = this.#entries.get(key)?.status === 'unknown' && result.status !== 'sent'
    const told: RecipientResult = stays ? { ...result, status: 'unknown' } : result
    this.#entries.set(key, final ? { ...told, final } : told)
  }

  /** Keeps what is known; with it, that this attempt saw its own end. */
  async keep(): Promise<void> {
    await this.#save({ ended: this.#ctx.attempt })
  }

  /** Keeps, before it goes out, that the message may be taken from now on. */
  async keepSending(): Promise<void> {
    await this.#save({ sending: this.#ctx.attempt })
  }

  async #save(mark: Pick<Saved, 'ended' | 'sending'>): Promise<void> {
    const saved: Saved = { recipients: Object.fromEntries(this.#entries), retries: this.#ctx.retries, ...mark }
    await this.#ctx.save(saved)
  }
}
