/** The runner against the reference model: random histories, after each step the same states, attempts and slots. */
import { memory } from 'background-runner'
import fc from 'fast-check'
import { describe, it } from 'vitest'
import { turns } from '../../src/testing/real-time.js'
import { histories, parameters, patiently, TIMEOUT } from './history.js'
import { type Home, live } from './world.js'

const RUNS = Number(process.env['RUNS'] ?? (process.env['CI'] === 'true' ? 500 : 75))
/** Several tests share the runs, so that each stays short. */
const PARTS = [1, 2, 3, 4]

const home: Home = { engine: memory, settle: () => turns(), crash: () => {} }

describe('random histories agree with the reference model', () => {
  for (const part of PARTS) {
    it(`in every state, attempt, slot and event (part ${part} of ${PARTS.length})`, { timeout: TIMEOUT }, async () => {
      await fc.assert(
        fc.asyncProperty(
          histories(false),
          patiently((history) => live(history, home)),
        ),
        parameters(part, RUNS),
      )
    })
  }
})
