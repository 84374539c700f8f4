import type { INestApplication } from '@nestjs/common';
import type { PortalClient } from './portal-client.js';
import type { PostOffice } from './post-office.js';

/** Who is who in the chapter, by their emails. */
interface Cast {
  readonly inviter: string;
  readonly invited: string;
  /** The invited one, later. */
  readonly renamed: string;
  /** Written, and rolled back. */
  readonly ghost: string;
}

/** What the scenes of the chapter have in common. */
export interface Play {
  readonly app: INestApplication;
  readonly url: string;
  readonly office: PostOffice;
  readonly client: PortalClient;
  readonly cast: Cast;
  /** The tokens, codes and keys that came up, none of which may be in the database. */
  readonly secrets: string[];
  readonly tenantId: string;
  readonly roleIds: readonly string[];
}

export function castOf(name: string): Cast {
  return {
    inviter: `ines.of.${name}@example.com`,
    invited: `${name}@example.com`,
    renamed: `${name}.renamed@example.com`,
    ghost: `ghost.of.${name}@example.com`,
  };
}
