export { type MigrationClass, NestAuthHealthIndicator, type NestAuthHealthOptions } from './health.indicator.js';
