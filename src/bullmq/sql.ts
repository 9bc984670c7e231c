/**
 * What we add to BullMQ's schema in PostgreSQL: tables and functions beside its own, all of them named `br_…`. BullMQ's
 * functions are called by ours, so that what we add to a job happens in one transaction with what BullMQ does.
 *
 * Tables. BullMQ keeps all jobs in one, `job`, by queue and id. Ours are
 *   br_queue      the queues of each engine (`base`)
 *   br_paused     the engines that are paused as a whole
 *   br_task       what a task has beside its job; its fields are those that lua.ts tells of
 *   br_after      a job that comes after another one
 *   br_telling    ended jobs whose followers are still to be told
 *   br_hold       the queues that are held
 *   br_schedule   schedules, as their JSON
 *
 * Values are kept as their JSON texts: in `data` and `return_value` as a string of jsonb, which would else lose the order
 * of keys, and refuses some characters.
 *
 * Times. What is due, and when something was, is by the clock of whoever asks (`v_now`); locks are by the server's.
 */
import { HELPERS } from './sql-helpers.js'
import { HOUSE } from './sql-house.js'
import { VERBS } from './sql-verbs.js'
import { WORK } from './sql-work.js'

/** In this order: some are looked up when they are made. */
export const FUNCTIONS: string = [...HELPERS, ...VERBS, ...WORK, ...HOUSE].join('\n')
