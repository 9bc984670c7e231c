/** A server that fails at random, at every stage, in every way; a seed decides. Most of the time it works. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '../../sqlite/support/random.js'
import { type Answer, DROP, HANG, type Hooks, type Stage, type Step } from '../../support/smtp-server.js'

type Told = string | Answer

const CLOSING: Answer = { reply: '421 4.3.2 shutting down', drop: true }

/** How often something is wrong, and what it may be. */
const FAILURES: Readonly<Partial<Record<Stage, readonly [number, readonly Told[]]>>> = {
  greeting: [0.04, ['451 4.3.0 busy', '554 5.3.2 no service', CLOSING, DROP, HANG]],
  ehlo: [0.01, ['502 5.5.1 what?', CLOSING, DROP, HANG]],
  auth: [0.01, ['535 5.7.8 no', '454 4.7.0 try again', CLOSING, DROP, HANG]],
  mail: [0.03, ['451 4.3.0 later', '454 4.7.0 throttled', '550 5.1.8 no such sender', CLOSING, DROP, HANG]],
  rcpt: [0.06, ['450 4.2.1 later', '452 4.2.2 full', '550 5.1.1 no such user', '552 too many', CLOSING, DROP]],
  data: [0.03, ['451 4.3.0 later', '554 5.7.1 no', CLOSING, DROP, HANG]],
  body: [0.01, [DROP, HANG]],
  end: [
    0.1,
    [
      '451 4.3.0 later',
      '550 5.7.1 spam',
      CLOSING,
      DROP,
      HANG,
      { drop: true, store: true },
      { hang: true, store: true },
      { raw: '250 2.0', drop: true, store: true },
      { raw: '25', drop: true, store: false },
      { reply: '250 2.0.0 queued', pieces: 3 },
      { reply: '250 2.0.0 queued', drop: true },
    ],
  ],
}

/** @param moment called at each stage, before anything is done */
export function unreliable(random: Random, moment: (stage: Stage, step: Step) => void): Hooks {
  const hook =
    (stage: Stage) =>
    async (step: Step): Promise<Told | undefined> => {
      moment(stage, step)
      if (random.next() < 0.2) await sleep(random.below(5))
      const [chance, deeds] = FAILURES[stage] ?? [0, []]
      return random.next() < chance ? random.of(deeds) : undefined
    }
  const stages = [...Object.keys(FAILURES), 'rset', 'quit'] as Stage[]
  return Object.fromEntries(stages.map((stage) => [stage, hook(stage)]))
}
