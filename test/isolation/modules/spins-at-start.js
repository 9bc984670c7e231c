/** A module that never finishes loading, and never lets go. */
import { writeFileSync } from 'node:fs'

if (process.env['AT_START']) writeFileSync(process.env['AT_START'], '')
for (;;);

export const run = () => {}
