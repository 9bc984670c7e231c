/** A handler as TypeScript is mostly written: it imports double.ts by the name that it will have when it is built. */
import { double } from './double.js'

export interface Picture {
  readonly width: number
}

export async function run({ width }: Picture): Promise<number> {
  return double(width)
}
