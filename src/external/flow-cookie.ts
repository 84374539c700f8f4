/**
 * The cookie for the token of a flow. Set it when a flow begins, read it and clear it in the callback. With `__Host-` and
 * without a domain no other host can set it (RFC 6265bis, 4.1.3.2); `lax`, because a browser that comes back from the
 * provider brings no `strict` one.
 */
export const EXTERNAL_FLOW_COOKIE = {
  name: '__Host-nest-auth-flow',
  options: { httpOnly: true, secure: true, sameSite: 'lax', path: '/' },
} as const;
