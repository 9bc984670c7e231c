/**
 * The local engine over a store that answers later. It finds what the memory engine, which answers at once, can never show:
 * what happens between a question and its answer.
 */
import { localEngine } from 'background-runner'
import { engineConformance } from 'background-runner/testing'
import { describe, it } from 'vitest'
import { MemoryStore } from '../../src/local/memory-store.js'
import { asynchronous } from './asynchronous-store.js'

engineConformance(
  { describe, it },
  { name: 'local over an asynchronous store', create: () => localEngine(asynchronous(new MemoryStore() as never)) },
)
