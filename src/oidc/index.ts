export type { OpenIdConnectOptions } from './open-id-connect.options.js';
export { openIdConnect } from './open-id-connect.provider.js';
