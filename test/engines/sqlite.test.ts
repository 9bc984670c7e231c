import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { sqlite } from 'background-runner/sqlite'
import { engineConformance, storeConformance } from 'background-runner/testing'
import { afterAll, describe, it } from 'vitest'
import { SqliteStore } from '../../src/sqlite/sqlite-store.js'
import { folderForMany } from '../support/folder.js'

const folder = folderForMany()
afterAll(() => rmSync(folder, { recursive: true }))

const path = (storage: string): string => join(folder, `${storage}.db`)

engineConformance(
  { describe, it },
  {
    name: 'sqlite',
    latency: 1,
    create: (storage) => sqlite({ path: path(storage), lease: 400 }),
    capabilities: { durable: true, shared: true, feed: 'all', limits: 'process', quotas: true },
  },
)

storeConformance(
  { describe, it },
  {
    name: 'sqlite',
    create: (storage) => new SqliteStore({ path: path(storage), durability: 'process', lease: 400 }) as never,
  },
)
