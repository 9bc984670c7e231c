/** What resize.ts imports. */
export const double = (width: number): number => width * 2
