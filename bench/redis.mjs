/** The Redis that is measured on, and a corner of it for each measurement. */
import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'

export const url = process.env.REDIS_URL ?? 'redis://127.0.0.1:6379'
const { hostname: host, port } = new URL(url)
export const connection = { host, port: Number(port) || 6379 }

/** Gives `measure` a prefix that nobody else has, and removes what it leaves. */
export async function withRedis(measure) {
  const prefix = `bench-${randomUUID()}`
  const redis = new Redis(url)
  try {
    return await measure(prefix)
  } finally {
    for await (const keys of redis.scanStream({ match: `${prefix}:*`, count: 1_000 }))
      if (keys.length > 0) await redis.unlink(...keys)
    redis.disconnect()
  }
}
