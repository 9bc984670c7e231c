/** Any other program that holds the file in a write transaction, until it is told to let go, or for so many ms. */
import { loadDriver } from '../../../src/sqlite/driver.js'

const [path = '', ms] = process.argv.slice(2)
const open = await loadDriver()
const database = open(path)
database.exec('BEGIN IMMEDIATE')
database.exec("UPDATE meta SET value = value WHERE key = 'paused'")
process.send?.('held')

function letGo(): void {
  database.exec('COMMIT')
  database.close()
  process.send?.('freed')
  process.disconnect()
}
if (ms === undefined) process.once('message', letGo)
else setTimeout(letGo, Number(ms))
