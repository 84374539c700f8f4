/** The rooms of src from the ground up. Each may import, at run time, only itself and those before it. */
export const ROOMS = [
  'errors',
  'transaction',
  'events',
  'audit',
  'tenant',
  'isolation',
  'account',
  'access',
  'session',
  'mfa',
  'invitation',
  'lifecycle',
  'profile',
];

/** Adapters for whoever comes from outside. They may import every room, and nothing imports them but the front door. */
export const RIM = ['http', 'graphql', 'admin', 'testing', 'cli'];
