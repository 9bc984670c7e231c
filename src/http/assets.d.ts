/** The dashboard's files by name, as scripts/dashboard.mjs has made them of dashboard/. */
export const assets: Readonly<Record<string, { readonly type: string; readonly body: string }>>
