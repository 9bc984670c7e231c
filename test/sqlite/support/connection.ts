import { type Database, loadDriver } from '../../../src/sqlite/driver.js'

/** A connection of the test's own to a file that is there; it waits where others hold the file. */
export async function connect(path: string): Promise<Database> {
  const open = await loadDriver()
  const database = open(path)
  database.exec('PRAGMA busy_timeout = 5000')
  return database
}
