/** What each group is measured with, beside the library: packages, and servers that are asked. */
import { existsSync, readFileSync } from 'node:fs'
import { Redis } from 'ioredis'
import pg from 'pg'
import { url as postgres } from './postgres.mjs'
import { url as redis } from './redis.mjs'

/** Node has SQLite itself: the drivers for those without are not loaded. */
const BUILT_IN = process.versions.sqlite

const DRIVER = BUILT_IN ? [] : ['libsql']

const PACKAGES = {
  memory: ['p-queue', 'fastq', 'p-limit', 'better-queue', 'eventemitter3'],
  mails: ['nodemailer'],
  http: ['express', 'nodemailer', 'p-queue', 'autocannon'],
  sqlite: BUILT_IN
    ? ['plainjob', 'better-sqlite3-13', 'nodemailer']
    : [...DRIVER, 'plainjob', 'sidequest', 'better-sqlite3', 'liteque', 'better-sqlite3-11', 'nodemailer'],
  isolation: ['tinypool', 'express'],
  limits: DRIVER,
  bullmq: ['bullmq', 'bee-queue', 'ioredis'],
  postgres: ['bullmq', 'pg'],
  dashboard: [...DRIVER, 'hono', 'autocannon'],
}

const SERVERS = { bullmq: redisVersion, postgres: postgresVersion }

const FOLDERS = ['./node_modules/', '../node_modules/'].map((path) => new URL(path, import.meta.url))

/** Versions by name; of a package that is measured in two versions, both. */
export async function versionsOf(group) {
  const versions = {}
  for (const alias of PACKAGES[group]) {
    const file = FOLDERS.map((folder) => new URL(`${alias}/package.json`, folder)).find((each) => existsSync(each))
    if (file === undefined) continue // optional, and could not be built
    const { name, version } = JSON.parse(readFileSync(file, 'utf8'))
    versions[name] = versions[name] === undefined ? version : `${versions[name]} and ${version}`
  }
  if (BUILT_IN && ['sqlite', 'limits', 'dashboard'].includes(group)) versions.SQLite = BUILT_IN
  return { ...versions, ...(await SERVERS[group]?.()) }
}

async function redisVersion() {
  const client = new Redis(redis)
  const [, version] = /redis_version:(\S+)/.exec(await client.info('server'))
  client.disconnect()
  return { Redis: version }
}

async function postgresVersion() {
  const client = new pg.Client(postgres)
  await client.connect()
  const { rows } = await client.query('SHOW server_version')
  await client.end()
  return { PostgreSQL: rows[0].server_version.split(' ')[0] }
}
