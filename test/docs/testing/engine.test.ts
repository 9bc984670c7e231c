import { memory } from 'background-runner' // yours in its place
import { engineConformance } from 'background-runner/testing'
import { describe, it } from 'vitest'

engineConformance(
  { describe, it },
  {
    name: 'mine',
    create: (_storage) => memory(), // a new name is an empty storage, the same name is the same storage
    capabilities: { durable: false, shared: false },
    skip: [{ reason: 'it is slow', tests: ['a long backlog that becomes due at one moment leaves turns to others'] }],
  },
)
