import { memory } from 'background-runner'
import { describe, it } from 'vitest'
import { engineConformance } from '../conformance/index.js'

engineConformance(
  { describe, it },
  { name: 'memory', create: () => memory(), capabilities: { durable: false, shared: false } },
)
