import { bullmq as bullmqUrl, sqlite as sqliteUrl } from '../library.mjs'

/** ms, the default of both engines. */
export const LEASE = 15_000

/** @param name sqlite or redis @param place a file, or a URL */
export async function engineOf(name, place) {
  if (name === 'sqlite') return (await import(sqliteUrl.href)).sqlite({ path: place, lease: LEASE })
  return (await import(bullmqUrl.href)).bullmq({ connection: place, name: 'scale', lease: LEASE })
}
