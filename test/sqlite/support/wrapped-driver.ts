import type { Database, Statement } from '../../../src/sqlite/driver.js'

type Driver = typeof import('../../../src/sqlite/driver.js')

/** For `vi.mock`: the driver, each statement that it prepares as `wrap` has it. */
export function wrappedDriver(actual: Driver, wrap: (sql: string, statement: Statement) => Statement): Driver {
  return {
    ...actual,
    loadDriver: async () => {
      const open = await actual.loadDriver()
      return (path: string): Database => {
        const database = open(path)
        return { ...database, prepare: (sql) => wrap(sql, database.prepare(sql)) }
      }
    },
  }
}
