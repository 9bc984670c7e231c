import { scryptSync } from 'node:crypto'

export const run = (word: string): string => scryptSync(word, 'salt', 16).toString('hex')
