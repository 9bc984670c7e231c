/** A module whose top level fails until a file is there. */
import { existsSync } from 'node:fs'

if (!existsSync(process.env.AT_START)) throw new Error('not yet')

export const run = () => 'loaded'
