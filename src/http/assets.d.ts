/** The files of the dashboard by their names: made of dashboard/ by scripts/dashboard.mjs. */
export const assets: Readonly<Record<string, { readonly type: string; readonly body: string }>>
