import { errors, jwtVerify, SignJWT } from 'jose';
import { isUuid } from '../errors/input.js';
import { NestAuthError } from '../errors/nest-auth.error.js';
import type { SessionSettings } from './session.settings.js';
import type { AccessTokenClaims, SessionKey } from './session.types.js';

/** Of access tokens and nothing else, so that no other JWT of the same keys can pass for one (RFC 9068). */
const TYPE = 'at+jwt';
const MAX_LENGTH = 4_096;

/** What is signed; the moments are the database's. */
export type NewAccessToken = Omit<AccessTokenClaims, 'expiresAt'> & { readonly sessionExpiresAt: Date };

/** Signs and verifies access tokens. Touches no database. */
export class AccessTokenSigner {
  constructor(private readonly settings: SessionSettings) {}

  async sign(claims: NewAccessToken): Promise<{ token: string; expiresAt: Date }> {
    const { issuer, audience, accessTokenSeconds, keys } = this.settings;
    const [{ kid, algorithm, privateKey }] = keys;
    const issuedAt = seconds(claims.issuedAt);
    // No token outlives the session that it is of.
    const expiresAt = Math.min(issuedAt + accessTokenSeconds, seconds(claims.sessionExpiresAt));
    const token = await new SignJWT({ sid: claims.sessionId, tid: claims.tenantId, stamp: claims.stamp })
      .setProtectedHeader({ alg: algorithm, kid, typ: TYPE })
      .setSubject(claims.userId)
      .setIssuer(issuer)
      .setAudience(audience)
      .setIssuedAt(issuedAt)
      .setExpirationTime(expiresAt)
      .sign(privateKey as NonNullable<typeof privateKey>);
    return { token, expiresAt: new Date(expiresAt * 1_000) };
  }

  /** Throws `ACCESS_TOKEN_INVALID` for whatever is not a token of ours that is still good. */
  async verify(token: unknown): Promise<AccessTokenClaims> {
    const { issuer, audience, keys } = this.settings;
    if (typeof token !== 'string' || token.length > MAX_LENGTH) throw invalidAccessToken();
    const { payload } = await jwtVerify(
      token,
      ({ kid, alg }) => {
        const key = keys.find((candidate) => candidate.kid === kid);
        // The key says which algorithm it is for, and not the token.
        if (key === undefined || key.algorithm !== alg) throw new errors.JWKSNoMatchingKey();
        return key.publicKey;
      },
      {
        issuer,
        audience,
        typ: TYPE,
        algorithms: [...new Set(keys.map(({ algorithm }) => algorithm))],
        requiredClaims: ['sub', 'sid', 'stamp', 'iat', 'exp'],
      },
    ).catch((error: unknown) => {
      throw error instanceof errors.JOSEError ? invalidAccessToken() : error;
    });
    const { sub, sid, tid, stamp, iat, exp } = payload;
    const isOurs = isUuid(sub) && isUuid(sid) && (tid === null || isUuid(tid)) && Number.isInteger(stamp);
    if (!isOurs || iat === undefined || exp === undefined) throw invalidAccessToken();
    return {
      userId: sub,
      sessionId: sid,
      tenantId: tid,
      stamp: stamp as number,
      issuedAt: new Date(iat * 1_000),
      expiresAt: new Date(exp * 1_000),
    };
  }

  /** The public parts of all keys, as `/.well-known/jwks.json` answers them. */
  jwks(): { keys: SessionKey[] } {
    return { keys: this.settings.keys.map(({ publicJwk }) => ({ ...publicJwk })) };
  }
}

export function invalidAccessToken(): NestAuthError {
  return new NestAuthError(
    'ACCESS_TOKEN_INVALID',
    'The access token is not good, or is no longer; refresh the session',
  );
}

function seconds(moment: Date): number {
  return Math.floor(moment.getTime() / 1_000);
}
