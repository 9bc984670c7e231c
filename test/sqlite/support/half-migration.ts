/** Dies in the middle of making a file: when it has run so many statements. `node half-migration.mjs <path> <statements>` */
import { loadDriver } from '../../../src/sqlite/driver.js'
import { migrate } from '../../../src/sqlite/schema.js'

const [path = '', statements] = process.argv.slice(2)
const database = (await loadDriver())(path)
let left = Number(statements)
const exec = (sql: string): void => {
  // Each on its own, so that there is a middle; the pages are written where the cache holds few of them.
  for (const each of sql.split(/;\s*$/m)) {
    if (left-- === 0) process.kill(process.pid, 'SIGKILL')
    if (each.trim() !== '') database.exec(each)
  }
}
database.exec('PRAGMA cache_size = 1')
exec('BEGIN IMMEDIATE')
migrate({ ...database, exec }, path)
exec('COMMIT')
exec('PRAGMA journal_mode = WAL')
