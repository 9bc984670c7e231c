/** Puts the scripts together: BullMQ's own texts as functions, what is common, and each body of `lua.ts`. */
import { MissingDependencyError } from '../errors.js'
import * as lua from './lua.js'

export type ScriptName =
  | 'insert'
  | 'claim'
  | 'settle'
  | 'read'
  | 'put'
  | 'amend'
  | 'tell'
  | 'renew'
  | 'bury'
  | 'outlook'
  | 'counts'
  | 'list'
  | 'prune'
  | 'pause'
  | 'holds'
  | 'explain'
  | 'swap'
  | 'leave'

/** Each script with the functions of BullMQ that it calls. */
const SCRIPTS: Readonly<Record<ScriptName, readonly [string, ...string[]]>> = {
  insert: [lua.INSERT, 'addPrioritizedJob', 'addDelayedJob', 'addParentJob'],
  claim: [lua.CLAIM + lua.CLAIM_ONE, 'moveToActive'],
  settle: [lua.CLAIM + lua.SETTLE, 'moveToActive', 'moveToFinished', 'moveToDelayed', 'moveJobFromActiveToWait'],
  read: [lua.READ],
  put: [lua.PUT],
  amend: [lua.AMEND, 'reprocessJob', 'removeJob'],
  tell: [lua.TELL],
  renew: [lua.RENEW, 'extendLock'],
  bury: [lua.BURY, 'moveStalledJobsToWait'],
  outlook: [lua.OUTLOOK],
  counts: [lua.COUNTS],
  list: [lua.LIST],
  prune: [lua.PRUNE, 'removeJob'],
  pause: [lua.PAUSE, 'pause'],
  holds: [lua.HOLDS],
  explain: [lua.EXPLAIN],
  swap: [lua.SWAP],
  leave: [lua.LEAVE],
}

type BullScripts = Readonly<Record<string, { readonly content: string } | undefined>>

/** The whole text of each script. @throws {MissingDependencyError} bullmq is not installed, or another version than this one stands on */
export async function loadScripts(): Promise<Readonly<Record<ScriptName, string>>> {
  const bull = await loadBull()
  const composed = Object.entries(SCRIPTS).map(([name, [body, ...used]]) => {
    const functions = used.map((each) => `bull.${each} = function(KEYS, ARGV)\n${textOf(bull, each)}\nend\n`)
    return [name, lua.PRELUDE + functions.join('') + body] as const
  })
  return Object.fromEntries(composed) as Record<ScriptName, string>
}

async function loadBull(): Promise<BullScripts> {
  try {
    // BullMQ has no `exports`: each of its files can be imported, and this one says what it sends to Redis.
    const { default: cjs, ...esm } = (await import('bullmq/dist/cjs/scripts/index.js' as string)) as {
      default?: BullScripts
    }
    return cjs ?? (esm as BullScripts)
  } catch (cause) {
    throw new MissingDependencyError('bullmq', 'bullmq()', { cause })
  }
}

function textOf(bull: BullScripts, name: string): string {
  const content = bull[name]?.content
  if (content === undefined) throw new MissingDependencyError('bullmq@~6.7', `bullmq(), which calls its script ${name}`)
  return content
}
