/** A module that never finishes loading; its worker's event loop is free. */
import { writeFileSync } from 'node:fs'

if (process.env['AT_START']) writeFileSync(process.env['AT_START'], '')
await new Promise((resolve) => setTimeout(resolve, 2 ** 30))

export const run = () => {}
