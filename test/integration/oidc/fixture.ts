import {
  ExternalSignInService,
  generateSessionKeys,
  type IdentityProvider,
  type NestAuthModuleOptions,
} from '../../../src/index.js';
import type { NestApp } from '../../support/nest-app.js';
import { CHEAP } from '../session/fixture.js';

export const keys = generateSessionKeys();

/** An application that signs people in by these providers. */
export const byProviders = (
  identityProviders: readonly IdentityProvider[],
  others: NestAuthModuleOptions = {},
): NestAuthModuleOptions => ({ session: { keys }, password: CHEAP, identityProviders, ...others });

export const external = ({ context }: Pick<NestApp, 'context'>): ExternalSignInService =>
  context.get(ExternalSignInService);
