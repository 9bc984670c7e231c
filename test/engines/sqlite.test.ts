import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sqlite } from 'background-runner/sqlite'
import { engineConformance } from 'background-runner/testing'
import { afterAll, describe, it } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'background-runner-'))
afterAll(() => rmSync(folder, { recursive: true }))
let files = 0

engineConformance(
  { describe, it },
  { name: 'sqlite', create: () => sqlite({ path: join(folder, `${files++}.db`) }), capabilities: { durable: true, shared: true } },
)
